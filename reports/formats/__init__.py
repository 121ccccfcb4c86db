"""Tables and figures as files and on the screen."""
