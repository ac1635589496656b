//! Who is this: tokens, keys, claims, principal.
