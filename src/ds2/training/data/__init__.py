"""From manifests or shards to minibatches."""
