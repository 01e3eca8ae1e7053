"""Who is in a consortium: founding alone, inviting, joining, approving, leaving."""
