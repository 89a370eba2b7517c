// Region sums of a level and its gradient, each in one pass over the prediction.
//
// Examples are taken in blocks whose intermediates stay in the first-level cache. A block without
// an example beyond the first region, as nearly all are that hold no object, needs no histogram.

#pragma once

#include <ATen/Parallel.h>

#include <limits>
#include <vector>

#include "criteria.h"
#include "examples.h"

namespace ghm {

// The examples are split into segments with sums of their own, added up in their order: the result
// does not depend on how many threads there are. So many regions times so many segments stay small.
constexpr int64_t SMALLEST_SEGMENT = 1 << 16;
constexpr int64_t MOST_SEGMENTS = 64;
// Neighbours are added to sums of their own, so that one addition need not wait for the last.
constexpr int64_t LANES = 4;
// Examples that are worth another thread.
constexpr int64_t GRAIN = 1 << 14;

// Compiles a function for each kind of vectors, of which the loader takes the widest of the machine.
#if !defined(__x86_64__) || !defined(__linux__) || !__has_attribute(target_clones)
#define GHM_VECTORS
#elif __GNUC__ >= 12
#define GHM_VECTORS __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define GHM_VECTORS __attribute__((target_clones("avx512f", "avx2", "default")))
#endif

// Region of a gradient norm in [0, 1] by the float32 edges, the last region closed at 1.
struct Regions {
  explicit Regions(const Tensor& tensor)
      : edges(tensor.data_ptr<float>(), tensor.data_ptr<float>() + tensor.numel()),
        count(static_cast<int32_t>(tensor.numel() - 1)) {
    edges.back() = std::numeric_limits<float>::infinity();
  }

  int32_t of(float norm) const {
    int32_t region = std::min(static_cast<int32_t>(norm * count), count - 1);
    region += norm >= edges[region + 1];
    return region - (norm < edges[region]);
  }

  std::vector<float> edges;
  int32_t count;
};

// What is known of a block's regions without having looked at each example.
enum class Kind {
  FIRST,  // all is finite and in the first region
  PLAIN,  // all is finite, and no product g M so close to a whole number that its rounding could
          // put the example on the other side of an edge
  ANY,
};

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

GHM_VECTORS inline Kind kind_of(const Block& block, const Regions& regions) {
  constexpr float magic = 8388608.0f;  // 2^23: what is added to it is rounded to a whole number
  const float count = static_cast<float>(regions.count);
  float largest = 0, to_edge = 1, nan_if_not_finite = 0;
#pragma omp simd reduction(max : largest) reduction(min : to_edge) reduction(+ : nan_if_not_finite)
  for (int64_t i = 0; i < BLOCK; ++i) {
    const float slope = block.derivative[i], position = std::fabs(slope) * count;
    const float off = std::fabs(position - ((position + magic) - magic));
    const float distance = position < 0.5f ? 1.0f : off;
    largest = position > largest ? position : largest;
    to_edge = distance < to_edge ? distance : to_edge;
    nan_if_not_finite += (block.x[i] + slope) * 0.0f;
  }
  if (to_edge < count * 2e-7f || nan_if_not_finite != 0) return Kind::ANY;
  return largest < 1 ? Kind::FIRST : Kind::PLAIN;
}

// Fills in the regions: M where an example is ignored, M + 1 where it is not finite. Returns the
// number of the latter.
GHM_VECTORS inline int64_t find_regions(Block& block, const Regions& regions, Kind kind) {
  int64_t nonfinite = 0;
  if (kind == Kind::ANY) {
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
    const int32_t region = static_cast<int32_t>(std::fabs(block.derivative[i]) * count);
    block.region[i] = std::min(region, regions.count - 1);
  }
  if (!block.all_valid)
    for (int64_t i = 0; i < block.size; ++i)
      block.region[i] = block.valid[i] ? block.region[i] : regions.count;
  return 0;
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
  Block block;
  for (block.first = begin; block.first < end; block.first += BLOCK) {
    block.size = std::min(BLOCK, end - block.first);
    const Loaded loaded = examples.load(block);
    result.weight_sum += loaded.weight_sum;
    result.bad_targets += loaded.bad_targets;
    if (!block.any_valid) continue;
    evaluate(block, criterion);
    const Kind kind = kind_of(block, regions);
    if (kind == Kind::FIRST && block.all_valid) {
      double sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < block.size; ++i) sum += block.loss[i];
      counts[0] += static_cast<int32_t>(block.size);
      losses[0] += sum;
      continue;
    }
    result.nonfinite += find_regions(block, regions, kind);
    for (int64_t i = 0; i < block.size; ++i) {
      const int64_t slot = block.region[i] * LANES + i % LANES;
      ++counts[slot];
      losses[slot] += block.loss[i];
    }
  }
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

// Fills in each example's gradient times the factor of its region.
template <typename Criterion>
void fill_values(
    Block& block,
    const Criterion& criterion,
    const Regions& regions,
    const std::vector<float>& factor,
    float* value) {
  if (!block.any_valid) {
    std::fill(value, value + BLOCK, 0.0f);
    return;
  }
  differentiate(block, criterion);
  const Kind kind = kind_of(block, regions);
  if (kind == Kind::FIRST && block.all_valid) {
    const float first = factor[0];
    for (int64_t i = 0; i < BLOCK; ++i) value[i] = block.derivative[i] * first;
    return;
  }
  find_regions(block, regions, kind);
  for (int64_t i = 0; i < block.size; ++i)
    value[i] = block.derivative[i] * factor[block.region[i]];
  // an ignored NaN must not leave a NaN behind
  if (!block.all_valid)
    for (int64_t i = 0; i < block.size; ++i) value[i] = block.valid[i] ? value[i] : 0;
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
      float* value = block.loss;
      fill_values(block, criterion, regions, factor, value);
      if (result.is_contiguous()) {
        T* to = out.data + block.first;
        for (int64_t i = 0; i < block.size; ++i) to[i] = static_cast<T>(value[i]);
        continue;
      }
      examples.by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
        T* to = &out.at(row, column);
        for (int64_t j = 0; j < end - column; ++j)
          to[j * out.column_stride] = static_cast<T>(value[i + j]);
      });
    }
  });
}

}  // namespace ghm
