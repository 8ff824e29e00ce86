//! The seam to providers. Skeleton.
