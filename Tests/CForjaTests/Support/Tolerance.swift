/// How far a device may be from float64, as a share of the size of the terms that were added up.
///
/// Storage rounding of the result (2⁻²⁴ for f32, 2⁻⁸ for bf16) is allowed besides, once: a bf16
/// operation that rounds twice, or truncates, fails. Loosening a number is a commit of its own.
enum Tolerance {
    /// One to three float operations on one element, no library function: 2⁻²² is four half-units.
    static let elementwise = 0x1p-22

    /// exp, log, sin, division and square root may each be off by 3 units in OpenCL 1.2 ("OpenCL
    /// 1.2 specification", table 7.1); a formula strings a few together: 2⁻¹⁹ is 32 half-units.
    static let transcendental = 0x1p-19

    /// A float32 sum of up to about 1100 terms, relative to Σ|term|: the error walks as √n·2⁻²⁴
    /// ≈ 2⁻¹⁹ in the worst order, doubled for safety. A dropped or doubled term is 2⁻¹¹ or more.
    static let sum = 0x1p-18

    /// Attention and softmax: the error of a score (Tolerance.sum of its terms, a few units wide)
    /// becomes the relative error of its exponential, and rows add the terms up again.
    static let attention = 0x1p-15

    /// bf16 attention may round probabilities and score gradients to bf16 before the second
    /// product, as matrix units need: 2⁻⁸ of the largest term.
    static let attentionBF16 = 0x1p-8

    /// One AdamW update: two moments, a square root, a division and a product.
    static let adamw = 0x1p-19

    /// A compensated or chunked sum of squares over many thousand terms, all positive: pairwise or
    /// per-lane partial sums keep it near √n·2⁻²⁴ for n = 2¹⁶ terms a chunk.
    static let norm = 0x1p-16

    /// What a central difference of step 1e-5 in float64 leaves: truncation of 1e-10 for a third
    /// derivative near one, cancellation of 1e-11 for a loss near one; the losses here reach a
    /// hundred, the derivatives more.
    static let finiteDifference = 1e-7
}
