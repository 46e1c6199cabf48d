"""What `study_plus.py` is made of: the plan with its claims, and the work of its jobs."""
