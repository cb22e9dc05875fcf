"""Hashtags as weak labels: normalize tags, derive them from class names, match them to examples."""
