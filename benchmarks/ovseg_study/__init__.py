"""What `study_ovseg.py` is made of: the plan, its jobs, their measurements, and the verdicts."""
