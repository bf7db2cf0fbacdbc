"""`callboard dlq`: finds, shows, requeues and purges dead letters."""
