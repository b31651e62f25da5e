"""The parts of an Android bundle: the app's sources, and how they become a signed APK."""
