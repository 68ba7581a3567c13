"""What every run needs: its configuration, its folder, its checkpoint, its device."""
