//! The protocol-buffer messages that an example is stored as: `tf.train.Example`.
//!
//! Only the fields that are read; others are skipped. Lists are accepted packed and unpacked, and
//! map entries in any order.

use prost::Message;

use super::PIXELS;

/// `tf.train.Example`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Example {
    /// Features by name.
    #[prost(message, optional, tag = "1")]
    pub(crate) features: Option<Features>,
}

/// `tf.train.Features`. The map is read as the list of entries that it is on the wire.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Features {
    /// The map's entries.
    #[prost(message, repeated, tag = "1")]
    pub(crate) feature: Vec<Entry>,
}

/// One entry of the map.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Entry {
    /// The feature's name.
    #[prost(string, tag = "1")]
    pub(crate) key: String,
    /// Its values.
    #[prost(message, optional, tag = "2")]
    pub(crate) value: Option<Feature>,
}

/// `tf.train.Feature`: one of two kinds of list (the third, of bytes, is not used here).
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Feature {
    /// Single-precision values.
    #[prost(message, optional, tag = "2")]
    pub(crate) float_list: Option<FloatList>,
    /// Whole numbers.
    #[prost(message, optional, tag = "3")]
    pub(crate) int64_list: Option<Int64List>,
}

/// `tf.train.FloatList`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct FloatList {
    /// The values.
    #[prost(float, repeated, tag = "1")]
    pub(crate) value: Vec<f32>,
}

/// `tf.train.Int64List`.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Int64List {
    /// The values.
    #[prost(int64, repeated, tag = "1")]
    pub(crate) value: Vec<i64>,
}

/// Why an example cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// It is damaged.
    Damaged(String),
    /// It is sound, but does not hold what is read here.
    Form(String),
}

/// The label and the 784 pixels of a serialised example.
///
/// # Errors
/// A sentence saying what is wrong.
pub(crate) fn decode(blob: &[u8]) -> Result<(i64, Vec<f32>), Wrong> {
    let example = Example::decode(blob)
        .map_err(|error| Wrong::Damaged(format!("not a tf.train.Example: {error}")))?;
    values(example).map_err(Wrong::Form)
}

fn values(example: Example) -> Result<(i64, Vec<f32>), String> {
    let (mut label, mut pixels) = (None, None);
    // Where a key occurs twice the last entry counts, as for any protocol-buffer map.
    for entry in example.features.unwrap_or_default().feature {
        let value = entry.value.unwrap_or_default();
        match entry.key.as_str() {
            "label" => label = value.int64_list,
            "pixels" => pixels = value.float_list,
            _ => {}
        }
    }
    let label = label.ok_or("it has no whole-number feature `label`")?.value;
    let pixels = pixels.ok_or("it has no float feature `pixels`")?.value;
    let [label] = label[..] else {
        return Err(format!("`label` has {} values instead of 1", label.len()));
    };
    if pixels.len() != PIXELS {
        return Err(format!("`pixels` has {} values instead of {PIXELS}", pixels.len()));
    }
    Ok((label, pixels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn varint(mut value: u64, out: &mut Vec<u8>) {
        while value >= 0x80 {
            out.push(value as u8 | 0x80);
            value >>= 7;
        }
        out.push(value as u8);
    }

    fn field(number: u8, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![number << 3 | 2];
        varint(payload.len() as u64, &mut out);
        out.extend_from_slice(payload);
        out
    }

    fn entry(key: &str, feature: &[u8]) -> Vec<u8> {
        field(1, &[field(1, key.as_bytes()), field(2, feature)].concat())
    }

    fn labels(packed: bool) -> Vec<u8> {
        let list = if packed { field(1, &[7]) } else { vec![1 << 3, 7] };
        entry("label", &field(3, &list))
    }

    fn pixels(packed: bool) -> Vec<u8> {
        let mut list = Vec::new();
        for index in 0..PIXELS {
            if !packed {
                list.push(1 << 3 | 5);
            }
            list.extend_from_slice(&(index as f32).to_le_bytes());
        }
        entry("pixels", &field(2, &if packed { field(1, &list) } else { list }))
    }

    #[test]
    fn packed_and_unpacked_in_any_order_with_strangers_in_between() {
        let stranger = entry("author", &field(1, &field(1, b"someone")));
        for (label_packed, pixels_packed) in [(true, true), (false, false), (true, false)] {
            let (label, pixels) = (labels(label_packed), pixels(pixels_packed));
            for parts in [[&label, &stranger, &pixels], [&pixels, &label, &stranger]] {
                let unknown = [0x78, 5]; // field 15, a varint
                let blob = [field(1, &parts.map(|part| part.clone()).concat()), unknown.to_vec()];
                let (label, pixels) = decode(&blob.concat()).expect("well formed");
                assert_eq!(label, 7);
                assert!(
                    pixels.iter().enumerate().all(|(i, &p)| p.to_bits() == (i as f32).to_bits())
                );
            }
        }
    }

    #[test]
    fn what_is_missing_or_too_long_is_said() {
        let error = |features: &[u8]| match decode(&field(1, features)).expect_err("wrong") {
            Wrong::Form(text) => text,
            Wrong::Damaged(text) => panic!("sound, but of another form: {text}"),
        };
        assert!(error(&labels(true)).contains("`pixels`"));
        assert!(error(&pixels(true)).contains("`label`"));
        let two = entry("label", &field(3, &field(1, &[7, 8])));
        assert!(error(&[two, pixels(true)].concat()).contains("2 values"));
        let short = entry("pixels", &field(2, &field(1, &[0; 8])));
        assert!(error(&[labels(true), short].concat()).contains("2 values instead of 784"));
        assert!(matches!(decode(&[0xFF; 9]), Err(Wrong::Damaged(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_blob_makes_it_panic(blob in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = decode(&blob);
        }
    }
}
