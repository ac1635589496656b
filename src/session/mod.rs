//! One authenticated client, many transactions.
