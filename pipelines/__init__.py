"""Make trees from corpora: files -> rows -> trees -> shards."""
