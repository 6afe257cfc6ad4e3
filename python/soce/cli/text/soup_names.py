"""What a SOUP may be on the command line."""

SOUPS = """\b
A SOUP is one of
  best                   the soup that was searched for
  soce, uniform-all, ..  an arm of the result
  math                   a model
  "3/4 math + 1/4 code"  weights, as results print them
"""
