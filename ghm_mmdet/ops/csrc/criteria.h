// Loss and derivative of one example, without a branch, so that compilers can vectorize loops.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace ghm {

// e^-z for z in [0, 87] with a relative error below 2e-7, and e^-87 for larger z.
inline float exp_of_minus(float z) {
  constexpr float most = 87.0f, log2_e = 1.44269504f;
  constexpr float high = 0.693359375f, low = -2.12194440e-4f;  // add to ln 2; power * high is exact
  constexpr float magic = 12582912.0f;  // 1.5 * 2^23; `shifted` ends in the nearest integer's bits
  z = z > most ? most : z;  // NaN stays
  const float shifted = magic - z * log2_e;
  const float power = shifted - magic;
  const float r = (-z - power * high) - power * low;
  // a polynomial for (e^r - 1 - r) / r^2 that is off by at most 7e-8 where |r| <= ln(2) / 2
  float p = 1.39411240e-3f;
  p = p * r + 8.36318123e-3f;
  p = p * r + 4.16663751e-2f;
  p = p * r + 1.66665770e-1f;
  p = p * r + 0.5f;
  p = p * r * r + r + 1.0f;
  uint32_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  const uint32_t exponent = (bits + 127) << 23;  // the bits of the magic number are shifted out
  float scale;
  std::memcpy(&scale, &exponent, sizeof scale);
  return p * scale;
}

// log(1 + e) for e in [0, 1]; the polynomial of log(1 + e) / e is off by 3e-8 at most.
inline float log_of_one_plus(float e) {
  float p = 5.38406008e-3f;
  p = p * e - 3.01109576e-2f;
  p = p * e + 7.92107279e-2f;
  p = p * e - 1.37466211e-1f;
  p = p * e + 1.91451159e-1f;
  p = p * e - 2.48529456e-1f;
  p = p * e + 3.33203435e-1f;
  p = p * e - 4.99995526e-1f;
  p = p * e + 9.99999975e-1f;
  return p * e;
}

// 1 / d for d in [1, 2], relative error below 1.2e-7: two steps of Newton from a polynomial that is
// off by 1 / 99 at most. A vector division takes longer than all of them.
inline float reciprocal(float d) {
  float r = (3.2323232e-1f * d - 1.4545455f) * d + 2.1212121f;
  r = r + r * (1.0f - d * r);
  return r + r * (1.0f - d * r);
}

struct Value {
  float derivative, loss;
};

struct SigmoidCrossEntropy {
  static constexpr bool probabilities = true;

  Value operator()(float x, float y) const {
    const float e = exp_of_minus(std::fabs(x));
    const float larger = reciprocal(1.0f + e);  // sigmoid of |x|
    const float p = x < 0 ? e * larger : larger;
    return {p - y, (x > 0 ? x : 0.0f) - x * y + log_of_one_plus(e)};
  }
};

struct AuthenticSmoothL1 {
  static constexpr bool probabilities = false;

  Value operator()(float x, float y) const {
    const float difference = x - y;
    const float square = difference * difference + mu * mu;
    // infinity times 0 is NaN: an example that overflows is not finite, instead of having slope 0
    const float root = std::sqrt(square + square * 0.0f);
    return {difference / root, difference * (difference / (root + mu))};
  }

  float mu;
};

}  // namespace ghm
