"""One small application for each framework, in that framework's own manner."""
