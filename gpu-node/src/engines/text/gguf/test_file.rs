//! GGUF files made byte by byte, for tests.

/// Writes a header and tensors; what the tests beside it break is theirs to see.
#[derive(Default)]
pub(in crate::engines::text) struct Writer {
    values: Vec<u8>,
    value_count: u64,
    pub(super) infos: Vec<u8>,
    tensor_count: u64,
    data: Vec<u8>,
}

impl Writer {
    pub(super) fn text(bytes: &mut Vec<u8>, text: &str) {
        bytes.extend((text.len() as u64).to_le_bytes());
        bytes.extend(text.as_bytes());
    }

    pub(in crate::engines::text) fn value(mut self, key: &str, kind: u32, bytes: &[u8]) -> Self {
        Self::text(&mut self.values, key);
        self.values.extend(kind.to_le_bytes());
        self.values.extend(bytes);
        self.value_count += 1;
        self
    }

    pub(in crate::engines::text) fn int(self, key: &str, value: u32) -> Self {
        self.value(key, 4, &value.to_le_bytes())
    }

    pub(in crate::engines::text) fn float(self, key: &str, value: f32) -> Self {
        self.value(key, 6, &value.to_le_bytes())
    }

    pub(in crate::engines::text) fn word(self, key: &str, value: &str) -> Self {
        let mut bytes = Vec::new();
        Self::text(&mut bytes, value);
        self.value(key, 8, &bytes)
    }

    pub(in crate::engines::text) fn words(self, key: &str, values: &[String]) -> Self {
        let mut bytes = 8_u32.to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        values.iter().for_each(|value| Self::text(&mut bytes, value));
        self.value(key, 9, &bytes)
    }

    pub(in crate::engines::text) fn ints(self, key: &str, values: &[i32]) -> Self {
        let mut bytes = 5_u32.to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.value(key, 9, &bytes)
    }

    pub(in crate::engines::text) fn tensor(self, name: &str, dims: &[u64], values: &[f32]) -> Self {
        let data = values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<_>>();
        self.raw_tensor(name, dims, 0, &data)
    }

    pub(in crate::engines::text) fn raw_tensor(
        mut self,
        name: &str,
        dims: &[u64],
        kind: u32,
        data: &[u8],
    ) -> Self {
        self.data.resize(self.data.len().next_multiple_of(32), 0);
        Self::text(&mut self.infos, name);
        self.infos.extend((dims.len() as u32).to_le_bytes());
        self.infos.extend(dims.iter().flat_map(|size| size.to_le_bytes()));
        self.infos.extend(kind.to_le_bytes());
        self.infos.extend((self.data.len() as u64).to_le_bytes());
        self.data.extend(data);
        self.tensor_count += 1;
        self
    }

    pub(in crate::engines::text) fn bytes(&self) -> Vec<u8> {
        let mut bytes = b"GGUF\x03\0\0\0".to_vec();
        bytes.extend(self.tensor_count.to_le_bytes());
        bytes.extend(self.value_count.to_le_bytes());
        bytes.extend(&self.values);
        bytes.extend(&self.infos);
        bytes.resize(bytes.len().next_multiple_of(32), 0);
        bytes.extend(&self.data);
        bytes
    }
}
