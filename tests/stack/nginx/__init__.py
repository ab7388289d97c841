"""The nginx templates, rendered and run before replicas that the tests script."""
