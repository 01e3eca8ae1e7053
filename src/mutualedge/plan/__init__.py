"""What runs where and when: planning beforehand, admission at the moment of need."""
