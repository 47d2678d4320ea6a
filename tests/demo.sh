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
$python -m parser train --shards "$dir/shards" --config demo --output "$dir/model" --device cpu

step "evaluate: the test split holds no template and no value of train"
$python -m parser evaluate --model "$dir/model" --shards "$dir/shards" --split test --device cpu

step "parse: the second request's words are in no training tree"
for utterance in "add apples and oranges to the shopping list and play music" \
                 "add durian and kombucha to the shopping list and play jazz"; do
  printf '\n> %s\n' "$utterance"
  $python -m parser parse --model "$dir/model" --device cpu "$utterance"
  $python -m parser parse --model "$dir/model" --device cpu --format picture "$utterance"
done
