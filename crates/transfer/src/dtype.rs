//! The element types of PyTorch.

use half::{bf16, f16};

/// An element type of PyTorch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DType {
    F16,
    BF16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Bool,
    // The values of these are never read.
    Float8E4M3,
    Float8E5M2,
    Complex32,
    Complex64,
    Complex128,
    QInt8,
    QUInt8,
    QInt32,
    QUInt4x2,
    QUInt2x4,
}

/// The types by the names of their storages, and by their own names.
const TYPES: [(&str, &str, DType); 23] = [
    ("FloatStorage", "float32", DType::F32),
    ("DoubleStorage", "float64", DType::F64),
    ("HalfStorage", "float16", DType::F16),
    ("BFloat16Storage", "bfloat16", DType::BF16),
    ("LongStorage", "int64", DType::I64),
    ("IntStorage", "int32", DType::I32),
    ("ShortStorage", "int16", DType::I16),
    ("CharStorage", "int8", DType::I8),
    ("ByteStorage", "uint8", DType::U8),
    ("BoolStorage", "bool", DType::Bool),
    ("", "uint16", DType::U16),
    ("", "uint32", DType::U32),
    ("", "uint64", DType::U64),
    ("", "float8_e4m3fn", DType::Float8E4M3),
    ("", "float8_e5m2", DType::Float8E5M2),
    ("", "complex32", DType::Complex32),
    ("ComplexFloatStorage", "complex64", DType::Complex64),
    ("ComplexDoubleStorage", "complex128", DType::Complex128),
    ("QInt8Storage", "qint8", DType::QInt8),
    ("QUInt8Storage", "quint8", DType::QUInt8),
    ("QInt32Storage", "qint32", DType::QInt32),
    ("QUInt4x2Storage", "quint4x2", DType::QUInt4x2),
    ("QUInt2x4Storage", "quint2x4", DType::QUInt2x4),
];

impl DType {
    /// The type of a storage's class, such as `FloatStorage`.
    pub(crate) fn of_storage(class: &str) -> Option<Self> {
        let found = TYPES.iter().find(|(storage, _, _)| *storage == class);
        found
            .filter(|_| !class.is_empty())
            .map(|&(_, _, dtype)| dtype)
    }

    /// The type of this name, such as `float32`.
    pub(crate) fn named(name: &str) -> Option<Self> {
        let found = TYPES.iter().find(|(_, own, _)| *own == name);
        found.map(|&(_, _, dtype)| dtype)
    }

    /// PyTorch's name.
    pub(crate) fn name(self) -> &'static str {
        let found = TYPES.iter().find(|&&(_, _, dtype)| dtype == self);
        found.map_or("", |&(_, name, _)| name)
    }

    /// The bytes of one value.
    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::I8 | Self::U8 | Self::Bool => 1,
            Self::Float8E4M3 | Self::Float8E5M2 | Self::QInt8 | Self::QUInt8 => 1,
            Self::QUInt4x2 | Self::QUInt2x4 => 1,
            Self::F16 | Self::BF16 | Self::I16 | Self::U16 => 2,
            Self::F32 | Self::I32 | Self::U32 | Self::Complex32 | Self::QInt32 => 4,
            Self::F64 | Self::I64 | Self::U64 | Self::Complex64 => 8,
            Self::Complex128 => 16,
        }
    }

    /// Whether the values are floating-point numbers that can be read.
    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::BF16 | Self::F32 | Self::F64)
    }

    /// Whether the values are integers.
    pub(crate) fn is_integer(self) -> bool {
        matches!(
            self,
            Self::I8
                | Self::I16
                | Self::I32
                | Self::I64
                | Self::U8
                | Self::U16
                | Self::U32
                | Self::U64
        )
    }

    /// Appends the little-endian values of these bytes, whose number is a multiple of
    /// [`bytes`](Self::bytes), to `values`. Integers are rounded beyond 2^53. The values of types
    /// that are not read are NaN.
    pub(crate) fn decode(self, bytes: &[u8], values: &mut Vec<f64>) {
        match self {
            Self::F16 => each(bytes, values, |word| f16::from_le_bytes(word).to_f64()),
            Self::BF16 => each(bytes, values, |word| bf16::from_le_bytes(word).to_f64()),
            Self::F32 => each(bytes, values, |word| f64::from(f32::from_le_bytes(word))),
            Self::F64 => each(bytes, values, f64::from_le_bytes),
            Self::I8 => each(bytes, values, |word| f64::from(i8::from_le_bytes(word))),
            Self::I16 => each(bytes, values, |word| f64::from(i16::from_le_bytes(word))),
            Self::I32 => each(bytes, values, |word| f64::from(i32::from_le_bytes(word))),
            Self::I64 => each(bytes, values, |word| i64::from_le_bytes(word) as f64),
            Self::U8 | Self::Bool => each(bytes, values, |[byte]| f64::from(byte)),
            Self::U16 => each(bytes, values, |word| f64::from(u16::from_le_bytes(word))),
            Self::U32 => each(bytes, values, |word| f64::from(u32::from_le_bytes(word))),
            Self::U64 => each(bytes, values, |word| u64::from_le_bytes(word) as f64),
            Self::Float8E4M3
            | Self::Float8E5M2
            | Self::Complex32
            | Self::Complex64
            | Self::Complex128
            | Self::QInt8
            | Self::QUInt8
            | Self::QInt32
            | Self::QUInt4x2
            | Self::QUInt2x4 => {
                let count = bytes.len() / self.bytes();
                values.extend(std::iter::repeat_n(f64::NAN, count));
            }
        }
    }
}

/// Appends each word as a number.
fn each<const BYTES: usize>(
    bytes: &[u8],
    values: &mut Vec<f64>,
    number: impl Fn([u8; BYTES]) -> f64,
) {
    let (words, _) = bytes.as_chunks::<BYTES>();
    values.extend(words.iter().map(|&word| number(word)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_pytorch_and_unambiguous() {
        for (storage, name, dtype) in TYPES {
            assert_eq!(DType::named(name), Some(dtype));
            assert_eq!(dtype.name(), name);
            if !storage.is_empty() {
                assert_eq!(DType::of_storage(storage), Some(dtype));
            }
        }
        assert_eq!(DType::of_storage(""), None);
        assert_eq!(DType::named("float128"), None);
    }

    #[test]
    fn words_are_little_endian() {
        for (dtype, bytes, expected) in [
            (DType::F16, &[0, 0xc0][..], -2.0),
            (DType::BF16, &[0x80, 0x3f], 1.0),
            (DType::F32, &[0, 0, 0x20, 0x41], 10.0),
            (DType::F64, &[0, 0, 0, 0, 0, 0, 0xe0, 0xbf], -0.5),
            (DType::I8, &[0xff], -1.0),
            (DType::U8, &[0xff], 255.0),
            (DType::I16, &[1, 1], 257.0),
            (DType::U32, &[0, 0, 0, 0x80], 2_147_483_648.0),
            (DType::I64, &[0xfe, 255, 255, 255, 255, 255, 255, 255], -2.0),
        ] {
            assert_eq!(dtype.bytes(), bytes.len());
            let mut values = Vec::new();
            dtype.decode(bytes, &mut values);
            assert_eq!(values, [expected], "{dtype:?}");
        }
    }
}
