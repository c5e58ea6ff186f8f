"""The only room that imports rich: a Result, a plan and its progress become a screen."""
