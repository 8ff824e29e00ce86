pub fn vectors() -> Vec<super::Vector> {
    Vec::new()
}
