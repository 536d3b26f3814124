package devkafka

// Keeps reports whether the broker's data outlives it. kfake renames files that it has open, which Windows refuses.
const Keeps = false
