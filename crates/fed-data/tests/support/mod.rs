//! Files as others write them.

/// A serialised example in TFF's layout: label, then 784 equal pixels, packed.
pub(crate) fn example(label: i64, pixel: f32) -> Vec<u8> {
    fn field(number: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        let mut length = payload.len();
        while length >= 0x80 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(payload);
        out
    }
    let entry = |key: &str, kind, list: &[u8]| {
        field(1, &[field(1, key.as_bytes()), field(2, &field(kind, &field(1, list)))].concat())
    };
    let pixels: Vec<u8> = (0..784).flat_map(|_| pixel.to_le_bytes()).collect();
    field(1, &[entry("label", 3, &[label as u8]), entry("pixels", 2, &pixels)].concat())
}
