//! `portcullis dev`: a private Postgres, two demo tenants and the proxy, gone again when it ends.
