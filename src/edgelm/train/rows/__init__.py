"""From documents on disk to rows of training, in an order that the seed alone decides."""
