//! A row as the server sends it (DataRow).

/// The value of a row's only column; `None` if it is NULL, not UTF-8, or there are more.
pub fn only_column(row: &[u8]) -> Option<String> {
    let (head, rest) = row.split_first_chunk::<6>()?;
    let [0, 1, a, b, c, d] = *head else { return None };
    let len = usize::try_from(i32::from_be_bytes([a, b, c, d])).ok()?;
    String::from_utf8(rest.get(..len)?.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_one_column_of_a_row() {
        assert_eq!(only_column(b"\0\x01\0\0\0\x03UTC").as_deref(), Some("UTC"));
        assert_eq!(only_column(b"\0\x01\xff\xff\xff\xff"), None);
        assert_eq!(only_column(b"\0\x01\0\0\0\x09UTC"), None);
    }
}
