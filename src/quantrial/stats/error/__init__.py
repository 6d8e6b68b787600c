"""What keeps an error rate over several questions, and over several looks at one."""
