"""The documents that a run folder's derived files hold, as frozen types.

An attribute is named after its key, and in the order of the keys. What a reader of JSON meets is in
the codec of each file (`load_...`, `to_dict`): nothing else names a key.
"""
