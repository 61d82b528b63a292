"""An agency's adapter as a project: written ready to run, and looked over before it goes live."""
