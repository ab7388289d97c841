"""What an operator sees: alerts, the dashboard, and Prometheus beside a real stack."""
