#!/bin/sh
# The main job from end to end on an invented corpus: sh tests/demo.sh DIRECTORY
# Data sets and models already there are made anew.
set -eu
dir=${1:?usage: demo.sh DIRECTORY}
python=${BIN:+$BIN/}python
step() { printf '\n== %s\n' "$*"; }

rm -rf "$dir"
step "samples: invented requests, flat (words and slot tags) and as gold trees"
$python -m pipelines samples --output "$dir/samples" --rows 6000 --seed 1

step "check: every gold tree against its utterance and the ontology"
$python -m grammar check "$dir"/samples/gold/*.tsv

step "convert: flat -> trees -> Parquet shards, with Apache Beam"
$python -m pipelines convert --format seq --coordinate --corpus demo --input "$dir/samples/flat" --output "$dir/shards"
$python -m pipelines verify "$dir/shards"
$python -m pipelines samples --output "$dir/samples" --compare "$dir/shards"

step "train"
$python -m parser train --shards "$dir/shards" --config demo --output "$dir/model" --device cpu --threads 1

step "evaluate: the test split holds no template and no value of train"
$python -m parser evaluate --model "$dir/model" --shards "$dir/shards" --split test --device cpu

$python -m parser evaluate --model "$dir/model" --shards "$dir/shards" --split test --device cpu --json |
  $python -c '
import json, sys
compound = json.load(sys.stdin)["slices"]["compound"]
share, n = compound["exact_match"], compound["n"]
print(f"\nheld-out compound requests: exact match {share:.1%} of {n}")
sys.exit(0 if share >= 0.95 and n >= 200 else "error: less than 95 % of at least 200 held-out compound requests")
'

step "parse: the second request's words are in no training tree"
parse() {
  printf '\n> %s\n' "$1"
  tree=$($python -m parser parse --model "$dir/model" --device cpu "$1")
  printf '%s\n' "$tree"
  $python -m parser parse --model "$dir/model" --device cpu --format picture "$1"
  [ "$tree" = "$2" ] || { echo "error: the tree should be $2" >&2; exit 1; }
}
parse "add apples and oranges to the shopping list and play music" \
  "(and(AddToListIntent(add(ItemName(apples))(ItemName(oranges))))(PlayMusicIntent(MediaType(music))))"
parse "add durian and kombucha to the shopping list and play jazz" \
  "(and(AddToListIntent(add(ItemName(durian))(ItemName(kombucha))))(PlayMusicIntent(MediaType(jazz))))"
