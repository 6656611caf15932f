//! Numbers in JSON that are read as they were written: `serde_json` reads floats to within a rounding unless told
//! otherwise for the whole program.

use serde::{Deserialize, Deserializer, Serializer, de::Error};

/// Writes the shortest digits that name this number and no other.
pub(crate) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Reads them.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| D::Error::custom(format!("{text:?} is no number")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::{Deserialize, Serialize};

    #[derive(Serialize, Deserialize)]
    struct Number(#[serde(with = "super")] f64);

    proptest! {
        #[test]
        fn numbers_keep_their_bits(value in proptest::num::f64::NORMAL | proptest::num::f64::SUBNORMAL) {
            let text = serde_json::to_string(&Number(value)).map_err(|e| TestCaseError::fail(e.to_string()))?;
            let Number(read) = serde_json::from_str(&text).map_err(|e| TestCaseError::fail(e.to_string()))?;
            prop_assert_eq!(read.to_bits(), value.to_bits());
        }
    }
}
