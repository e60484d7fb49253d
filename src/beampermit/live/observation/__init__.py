"""How a service is, for those who look at it: systemd, Prometheus, logs, and `beampermit status`."""
