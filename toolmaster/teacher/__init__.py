"""Teachers: who shows the skill. The oracle knows the world's secrets but acts through sessions."""
