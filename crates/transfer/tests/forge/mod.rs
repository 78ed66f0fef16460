//! Files as PyTorch writes them, and as it never would, built byte by byte.

#![allow(dead_code, reason = "each test program uses a part of it")]

/// A text of a pickle.
pub(crate) fn text(text: &str) -> Vec<u8> {
    [
        b"X",
        &(text.len() as u32).to_le_bytes()[..],
        text.as_bytes(),
    ]
    .concat()
}

/// An integer of a pickle, as PyTorch writes a large one.
pub(crate) fn int(value: i64) -> Vec<u8> {
    [b"\x8a\x08", &value.to_le_bytes()[..]].concat()
}

/// A tuple of integers.
pub(crate) fn ints(values: &[i64]) -> Vec<u8> {
    let values = values.iter().map(|&value| int(value)).collect::<Vec<_>>();
    [b"(", &values.concat()[..], b"t"].concat()
}

/// A tensor's storage and layout, as a pickle has them.
#[derive(Clone, Copy)]
pub(crate) struct Tensor<'a> {
    pub(crate) class: &'a str,
    pub(crate) key: &'a str,
    pub(crate) count: i64,
    pub(crate) offset: i64,
    pub(crate) shape: &'a [i64],
    pub(crate) strides: &'a [i64],
}

impl Default for Tensor<'_> {
    fn default() -> Self {
        Self {
            class: "FloatStorage",
            key: "0",
            count: 4,
            offset: 0,
            shape: &[2, 2],
            strides: &[2, 1],
        }
    }
}

impl Tensor<'_> {
    /// The opcodes.
    pub(crate) fn pickle(&self) -> Vec<u8> {
        let class = format!("ctorch\n{}\n", self.class);
        [
            &b"ctorch._utils\n_rebuild_tensor_v2\n(("[..],
            &text("storage"),
            class.as_bytes(),
            &text(self.key),
            &text("cpu"),
            &int(self.count),
            b"tQ",
            &int(self.offset),
            &ints(self.shape),
            &ints(self.strides),
            b"\x89ccollections\nOrderedDict\n)RtR",
        ]
        .concat()
    }
}

/// A pickle around these opcodes.
pub(crate) fn pickle(opcodes: &[u8]) -> Vec<u8> {
    [b"\x80\x02", opcodes, b"."].concat()
}

/// The opcodes of a dictionary.
pub(crate) fn dict(entries: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let entries = entries
        .iter()
        .map(|(key, value)| [text(key), value.clone()].concat());
    [b"}(", &entries.collect::<Vec<_>>().concat()[..], b"u"].concat()
}

/// The pickle of a state dict with this one tensor.
pub(crate) fn one(tensor: &Tensor<'_>) -> Vec<u8> {
    pickle(&dict(&[("w", tensor.pickle())]))
}

/// The bytes of the storage that [`Tensor::default`] reads.
pub(crate) fn values() -> Vec<u8> {
    [1.0_f32, 2.0, 3.0, 4.0]
        .iter()
        .flat_map(|x| x.to_le_bytes())
        .collect()
}

/// An entry of a zip archive, and what the archive says about it if that is not true.
#[derive(Clone, Default)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
    pub(crate) method: u16,
    pub(crate) flags: u16,
    /// The plain size.
    pub(crate) size: Option<u32>,
    /// The stored size.
    pub(crate) stored: Option<u32>,
    pub(crate) crc: Option<u32>,
    /// Where the local header is.
    pub(crate) at: Option<u32>,
    /// The extra field in the directory.
    pub(crate) extra: Vec<u8>,
    /// Another name in the local header.
    pub(crate) local_name: Option<String>,
}

impl Entry {
    pub(crate) fn new(name: &str, data: impl Into<Vec<u8>>) -> Self {
        Self {
            name: name.into(),
            data: data.into(),
            ..Self::default()
        }
    }
}

/// A zip archive of these entries.
pub(crate) fn zip_of(entries: &[Entry]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = entry.at.unwrap_or(bytes.len() as u32);
        let crc = entry.crc.unwrap_or_else(|| crc32fast::hash(&entry.data));
        let length = entry.data.len() as u32;
        let (size, stored) = (entry.size.unwrap_or(length), entry.stored.unwrap_or(length));
        let common = |name: &str, extra: usize| {
            let mut bytes = vec![20, 0];
            bytes.extend(entry.flags.to_le_bytes());
            bytes.extend(entry.method.to_le_bytes());
            bytes.extend([0; 4]);
            for number in [crc, stored, size] {
                bytes.extend(number.to_le_bytes());
            }
            bytes.extend((name.len() as u16).to_le_bytes());
            bytes.extend((extra as u16).to_le_bytes());
            bytes
        };
        let local = entry.local_name.as_ref().unwrap_or(&entry.name);
        bytes.extend(b"PK\x03\x04");
        bytes.extend(common(local, 0));
        bytes.extend(local.as_bytes());
        bytes.extend(&entry.data);

        directory.extend(b"PK\x01\x02\0\0");
        directory.extend(common(&entry.name, entry.extra.len()));
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(entry.name.as_bytes());
        directory.extend(&entry.extra);
    }
    end_zip(bytes, &directory, entries.len() as u64)
}

/// The bytes of a zip archive behind which its directory and the 64-bit records are put.
pub(crate) fn end_zip(mut bytes: Vec<u8>, directory: &[u8], count: u64) -> Vec<u8> {
    let (size, at) = (directory.len() as u64, bytes.len() as u64);
    bytes.extend(directory);
    let record = bytes.len() as u64;
    bytes.extend(b"PK\x06\x06");
    bytes.extend(44_u64.to_le_bytes());
    bytes.extend([0; 12]);
    for number in [count, count, size, at] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(b"PK\x06\x07\0\0\0\0");
    bytes.extend(record.to_le_bytes());
    bytes.extend([1, 0, 0, 0]);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend([0xff; 12]);
    bytes.extend([0; 2]);
    bytes
}

/// The entries of a file with this pickle and these storages.
pub(crate) fn entries(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> Vec<Entry> {
    let mut entries = vec![
        Entry::new("m/data.pkl", pickle),
        Entry::new("m/byteorder", "little"),
    ];
    entries.extend(
        storages
            .iter()
            .map(|(key, data)| Entry::new(&format!("m/data/{key}"), &**data)),
    );
    entries
}

/// A file of the zip format.
pub(crate) fn zip(pickle: &[u8], storages: &[(&str, Vec<u8>)]) -> Vec<u8> {
    zip_of(&entries(pickle, storages))
}

/// The zip file of one tensor over [`values`].
pub(crate) fn zip_one(tensor: &Tensor<'_>) -> Vec<u8> {
    zip(&one(tensor), &[("0", values())])
}

/// The beginning of a file of the legacy format, up to the pickle of the object.
pub(crate) fn legacy_start() -> Vec<u8> {
    [
        pickle(b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19"),
        pickle(b"M\xe9\x03"),
        pickle(&dict(&[
            ("protocol_version", b"M\xe9\x03".to_vec()),
            ("little_endian", b"\x88".to_vec()),
        ])),
    ]
    .concat()
}

/// A file of the legacy format with this pickle, these keys, and storages with the number of their
/// values.
pub(crate) fn legacy(pickled: &[u8], storages: &[(&str, u64, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = [legacy_start(), pickled.to_vec()].concat();
    let keys: Vec<Vec<u8>> = storages.iter().map(|(key, _, _)| text(key)).collect();
    bytes.extend(pickle(&[b"](", &keys.concat()[..], b"e"].concat()));
    for (_, count, data) in storages {
        bytes.extend(count.to_le_bytes());
        bytes.extend(data);
    }
    bytes
}

/// The legacy file of one tensor over [`values`].
pub(crate) fn legacy_one(tensor: &Tensor<'_>) -> Vec<u8> {
    legacy(&one(tensor), &[("0", 4, values())])
}
