"""The axis control: adherence to chords, melody and drums given over time."""
