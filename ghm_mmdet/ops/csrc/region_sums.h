// Region sums of a level and its gradient, each in one pass over the prediction.
//
// Examples are taken in blocks whose intermediates stay in the first-level cache. In nearly all of
// them every target is 0 (a block of background), which leaves less to compute.

#pragma once

#include <ATen/Parallel.h>

#include <limits>
#include <vector>

#include "criteria.h"
#include "examples.h"

namespace ghm {

// The examples are split into segments with sums of their own, added up in their order: the result
// does not depend on the number of threads. Few segments need little memory even for many regions.
constexpr int64_t SMALLEST_SEGMENT = 1 << 16;
constexpr int64_t MOST_SEGMENTS = 64;
// Neighbouring examples are added to different sums: no addition waits for the one before it.
constexpr int64_t LANES = 4;
// How many examples are worth another thread.
constexpr int64_t GRAIN = 1 << 14;

// Compiles a function for several widths of vectors; the loader takes the widest that the CPU has.
#if !defined(__x86_64__) || !defined(__linux__) || !__has_attribute(target_clones)
#define GHM_VECTORS
#elif __GNUC__ >= 12
#define GHM_VECTORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GHM_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#endif

// A position rounded towards 0, but at most `last`: with a target out of range it may be huge.
inline int32_t at_most(float position, int32_t last) {
  return static_cast<int32_t>(position < last ? position : static_cast<float>(last));
}

// Region of a gradient norm in [0, 1] by the float32 edges, the last region closed at 1.
struct Regions {
  explicit Regions(const Tensor& tensor)
      : edges(tensor.data_ptr<float>(), tensor.data_ptr<float>() + tensor.numel()),
        count(static_cast<int32_t>(tensor.numel() - 1)) {
    edges.back() = std::numeric_limits<float>::infinity();
  }

  int32_t of(float norm) const {
    int32_t region = at_most(norm * count, count - 1);
    region += norm >= edges[region + 1];
    return region - (norm < edges[region]);
  }

  std::vector<float> edges;
  int32_t count;
};

// If g M is nearer to an edge between regions than this, rounding could move it across the edge.
inline float nearest(float count) { return count * 2e-7f; }

template <typename Criterion>
GHM_VECTORS void evaluate(Block& block, const Criterion& criterion) {
  for (int64_t i = 0; i < BLOCK; ++i) {
    const Value value = criterion(block.x[i], block.y[i]);
    block.derivative[i] = value.derivative;
    block.loss[i] = value.loss;
  }
}

template <typename Criterion>
GHM_VECTORS void differentiate(Block& block, const Criterion& criterion) {
  for (int64_t i = 0; i < BLOCK; ++i)
    block.derivative[i] = criterion(block.x[i], block.y[i]).derivative;
}

// Whether all examples are finite, and none is so near an edge that its region must be looked up.
GHM_VECTORS inline bool is_plain(const Block& block, const Regions& regions) {
  const int32_t last = regions.count - 1;
  const float count = static_cast<float>(regions.count), near = nearest(count);
  float nan_if_not_finite = 0;
  int32_t differs = 0;
#pragma omp simd reduction(+ : nan_if_not_finite) reduction(| : differs)
  for (int64_t i = 0; i < BLOCK; ++i) {
    const float slope = block.derivative[i], position = std::fabs(slope) * count;
    differs |= at_most(position - near, last) ^ at_most(position + near, last);
    nan_if_not_finite += (block.x[i] + slope) * 0.0f;
  }
  return differs == 0 && nan_if_not_finite == 0;
}

// Fills in the regions: M where an example is ignored, M + 1 where it is not finite. Returns how
// many are not finite.
GHM_VECTORS inline int64_t find_regions(Block& block, const Regions& regions) {
  int64_t nonfinite = 0;
  if (!is_plain(block, regions)) {
    for (int64_t i = 0; i < block.size; ++i) {
      const bool finite = std::isfinite(block.x[i]) && std::isfinite(block.derivative[i]);
      const bool valid = block.all_valid || block.valid[i];
      const float norm = std::fabs(block.derivative[i]);
      block.region[i] = !valid ? regions.count : finite ? regions.of(norm) : regions.count + 1;
      nonfinite += valid && !finite;
    }
    return nonfinite;
  }
  const float count = static_cast<float>(regions.count);
  for (int64_t i = 0; i < BLOCK; ++i) {
    block.region[i] = at_most(std::fabs(block.derivative[i]) * count, regions.count - 1);
  }
  if (!block.all_valid)
    for (int64_t i = 0; i < block.size; ++i)
      block.region[i] = block.valid[i] ? block.region[i] : regions.count;
  return 0;
}

// What one pass over a block of background returns besides what it fills in.
struct Background {
  bool is_plain;     // see is_plain(); also, no loss is so large that its units would overflow
  float first_loss;  // sum over the first region
};

// Losses of the other regions are counted in units of 2^-24.
constexpr float UNITS = 1 << 24;
constexpr float MOST_LOGIT = 126;  // against target 0 its loss is 126, too

// Evaluates logits against target 0: fills in regions, and derivatives or losses in units.
template <bool DERIVATIVES>
GHM_VECTORS Background evaluate_background(Block& block, const Regions& regions) {
  const int32_t last = regions.count - 1;
  const float count = static_cast<float>(regions.count), near = nearest(count);
  float first_loss = 0;
  int32_t differs = 0;
#pragma omp simd reduction(+ : first_loss) reduction(| : differs)
  for (int64_t i = 0; i < BLOCK; ++i) {
    const float x = block.x[i], e = exp_of_minus(std::fabs(x)), larger = reciprocal(1.0f + e);
    const float p = x < 0 ? e * larger : larger, position = p * count;
    const int32_t region = at_most(position - near, last);
    differs |= region ^ at_most(position + near, last);
    differs |= x + x * 0.0f < MOST_LOGIT ? 0 : 1;  // infinity times 0 is NaN
    block.region[i] = region;
    if (DERIVATIVES) {
      block.derivative[i] = p;
    } else {
      const float loss = (x > 0 ? x : 0.0f) + log_of_one_plus(e);
      first_loss += region == 0 ? loss : 0.0f;
      block.units[i] = static_cast<int32_t>(loss * UNITS + 0.5f);
    }
  }
  return {differs == 0, first_loss};
}

// Counts and sums of one segment, or of all.
struct Sums {
  explicit Sums(int64_t regions) : counts(regions), losses(regions) {}

  void add(const Sums& part, double factor = 1) {
    for (size_t j = 0; j < counts.size(); ++j) {
      counts[j] += part.counts[j];
      losses[j] += part.losses[j] * factor;
    }
    weight_sum += part.weight_sum;
    nonfinite += part.nonfinite;
    bad_targets += part.bad_targets;
  }

  std::vector<int64_t> counts;
  std::vector<double> losses;
  double weight_sum = 0;
  int64_t nonfinite = 0, bad_targets = 0;
};

// Counts and loss sums of blocks of background. One addition does both: the upper bits count, the
// lower bits sum units of loss. So there is one chain of additions instead of two.
class BackgroundSums {
 public:
  explicit BackgroundSums(int32_t regions) : packed(regions * WIDTH) {}

  void add(const Block& block, const Background& found, Sums& into) {
    if (blocks == MOST_BLOCKS) flush(into);
    ++blocks;
    into.losses[0] += found.first_loss;
    for (int64_t i = 0; i < BLOCK; i += WIDTH)
#pragma GCC unroll 8
      for (int64_t j = 0; j < WIDTH; ++j)
        packed[block.region[i + j] * WIDTH + j] += ONE + static_cast<uint32_t>(block.units[i + j]);
  }

  void flush(Sums& into) {
    for (size_t slot = 0; slot < packed.size(); ++slot) {
      const size_t region = slot / WIDTH;
      into.counts[region] += packed[slot] / ONE;
      if (region > 0) into.losses[region] += static_cast<double>(packed[slot] % ONE) / UNITS;
      packed[slot] = 0;
    }
    blocks = 0;
  }

 private:
  static constexpr uint64_t ONE = uint64_t{1} << 44;
  static constexpr int64_t WIDTH = 8;
  // the sum of 2^13 losses below 2^7, in units of 2^-24, is below ONE
  static constexpr int64_t MOST_BLOCKS = (1 << 13) / (BLOCK / WIDTH);

  std::vector<uint64_t> packed;
  int64_t blocks = 0;
};

template <typename T, typename Criterion>
Sums segment_sums(
    const Examples<T>& examples,
    const Criterion& criterion,
    const Regions& regions,
    int64_t begin,
    int64_t end) {
  Sums result(regions.count);
  const int64_t slots = (regions.count + 2) * LANES;
  std::vector<int32_t> counts(slots);
  std::vector<double> losses(slots);
  BackgroundSums background(regions.count);
  Block block;
  for (block.first = begin; block.first < end; block.first += BLOCK) {
    block.size = std::min(BLOCK, end - block.first);
    const Loaded loaded = examples.load(block);
    result.weight_sum += loaded.weight_sum;
    result.bad_targets += loaded.bad_targets;
    if (!block.any_valid) continue;
    if (Criterion::probabilities && block.is_background && block.all_valid && block.size == BLOCK) {
      const Background found = evaluate_background<false>(block, regions);
      if (found.is_plain) {
        background.add(block, found, result);
        continue;
      }
    }
    block.fill_in_targets();
    evaluate(block, criterion);
    result.nonfinite += find_regions(block, regions);
    for (int64_t i = 0; i < block.size; ++i) {
      const int64_t slot = block.region[i] * LANES + i % LANES;
      ++counts[slot];
      losses[slot] += block.loss[i];
    }
  }
  background.flush(result);
  for (int64_t slot = 0; slot < regions.count * LANES; ++slot) {
    result.counts[slot / LANES] += counts[slot];
    result.losses[slot / LANES] += losses[slot];
  }
  return result;
}

template <typename T, typename Criterion>
Sums region_sums(const Examples<T>& examples, const Criterion& criterion, const Regions& regions) {
  const int64_t size = std::max(SMALLEST_SEGMENT, examples.total() / MOST_SEGMENTS + 1);
  const int64_t segments = (examples.total() + size - 1) / size;
  std::vector<Sums> parts(segments, Sums(regions.count));
  at::parallel_for(0, segments, 1, [&](int64_t begin, int64_t end) {
    for (int64_t s = begin; s < end; ++s) {
      const int64_t last = std::min((s + 1) * size, examples.total());
      parts[s] = segment_sums(examples, criterion, regions, s * size, last);
    }
  });
  Sums total(regions.count);
  for (const Sums& part : parts) total.add(part);
  return total;
}

// Writes each example's gradient times the factor of its region.
template <typename T, typename Criterion>
void write_gradients(
    Block& block,
    const Criterion& criterion,
    const Regions& regions,
    const std::vector<float>& factor,
    T* to) {
  if (!block.any_valid) {
    std::fill(to, to + block.size, static_cast<T>(0.0f));
    return;
  }
  const bool is_done = Criterion::probabilities && block.is_background && block.all_valid &&
                       evaluate_background<true>(block, regions).is_plain;
  if (!is_done) {
    block.fill_in_targets();
    differentiate(block, criterion);
    find_regions(block, regions);
  }
#pragma GCC unroll 4
  for (int64_t i = 0; i < block.size; ++i)
    to[i] = static_cast<T>(block.derivative[i] * factor[block.region[i]]);
  // an ignored NaN must not become a NaN gradient
  if (!block.all_valid)
    for (int64_t i = 0; i < block.size; ++i)
      to[i] = block.valid[i] ? to[i] : static_cast<T>(0.0f);
}

template <typename T, typename Criterion>
void fill_gradient(
    const Examples<T>& examples,
    const Criterion& criterion,
    const Regions& regions,
    const float* scale,
    const Tensor& result) {
  const Matrix<T> out(result);
  std::vector<float> factor(scale, scale + regions.count);
  factor.resize(regions.count + 2);  // 0 for what is in no region
  at::parallel_for(0, examples.total(), GRAIN, [&](int64_t begin, int64_t end) {
    Block block;
    for (block.first = begin; block.first < end; block.first += BLOCK) {
      block.size = std::min(BLOCK, end - block.first);
      examples.load(block);
      T buffer[BLOCK];
      T* values = result.is_contiguous() ? out.data + block.first : buffer;
      write_gradients(block, criterion, regions, factor, values);
      if (values != buffer) continue;
      examples.by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
        T* to = &out.at(row, column);
        for (int64_t j = 0; j < end - column; ++j) to[j * out.column_stride] = values[i + j];
      });
    }
  });
}

}  // namespace ghm
