"""The kit for writing a subject: hub, channels, replay ring, encoders, and the process around them."""
