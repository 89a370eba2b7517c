// From region sums to a loss: density, moving average, balance and the mean over the examples.
// ops/from_sums.py, method/density.py and method/balance.py do the same in whole-tensor operations.

#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "region_sums.h"

namespace ghm {

struct Settings {
  bool is_paper;         // all M regions share the weight, and averages of empty ones decay
  double momentum;
  bool equal_gradient;   // the regions are made equal in gradient, not in weight
  double tempering;
  bool keeps_outliers;   // weights never fall as g grows
  bool is_mean, by_weight;
  double loss_weight;

  bool is_published() const { return !equal_gradient && tempering == 1 && !keeps_outliers; }
};

using Row = std::vector<float>;  // one number per region

// Blends a moving average with new numbers, one per region.
inline Row blended(const float* old, const Row& news, const Sums& sums, const Settings& settings) {
  const auto a = static_cast<float>(settings.momentum), b = static_cast<float>(1 - settings.momentum);
  Row result(news.size());
  for (size_t j = 0; j < news.size(); ++j) {
    const bool changes = settings.is_paper || sums.counts[j] > 0;
    result[j] = changes ? a * old[j] + b * news[j] : old[j];
  }
  return result;
}

// Isotonic regression by pooling adjacent violators: the nearest row that never rises. Values that
// are not known do not affect the others and do not change.
inline void make_non_increasing(Row& values, const std::vector<bool>& known) {
  struct Pool {
    double sum;
    int64_t size;
    double mean() const { return sum / size; }
  };
  std::vector<Pool> pools;
  for (size_t j = 0; j < values.size(); ++j) {
    if (!known[j]) continue;
    pools.push_back({values[j], 1});
    while (pools.size() > 1 && pools[pools.size() - 2].mean() < pools.back().mean()) {
      const Pool last = pools.back();
      pools.pop_back();
      pools.back().sum += last.sum;
      pools.back().size += last.size;
    }
  }
  size_t j = 0;
  for (const Pool& pool : pools)
    for (int64_t left = pool.size; left > 0; ++j)
      if (known[j]) {
        values[j] = static_cast<float>(pool.mean());
        --left;
      }
}

// Changes beta from the paper's weights to those of the settings' balance; `total` is N.
inline void rebalance(Row& beta, const Sums& sums, const Settings& settings, float total) {
  const size_t regions = beta.size();
  Row norm(regions, 1);
  std::vector<bool> known(regions);
  for (size_t j = 0; j < regions; ++j) {
    if (settings.equal_gradient)
      norm[j] = (static_cast<float>(j) / regions + static_cast<float>(j + 1) / regions) / 2;
    beta[j] /= norm[j];
    known[j] = beta[j] > 0;
  }
  if (settings.keeps_outliers) {
    Row inverse(regions);
    for (size_t j = 0; j < regions; ++j) inverse[j] = 1 / beta[j];
    make_non_increasing(inverse, known);
    for (size_t j = 0; j < regions; ++j) beta[j] = 1 / inverse[j];
  }
  double sum = 0;
  for (size_t j = 0; j < regions; ++j) {
    beta[j] = known[j] ? std::pow(beta[j], static_cast<float>(settings.tempering)) : 0;
    sum += static_cast<double>(beta[j]) * norm[j] * sums.counts[j];
  }
  const double mean = sum / total;
  const double factor = (settings.equal_gradient ? 0.5 : 1.0) / (mean > 0 ? mean : 1);
  for (float& each : beta) each = static_cast<float>(each * factor);
}

struct Harmonized {
  double loss;
  Row beta, scale;
};

// The loss of these sums. If `updates`, and all inputs are finite and all targets in range, the
// moving average and its bias correction, `weight`, change; each is null where there is none.
inline Harmonized harmonized(
    const Sums& sums, const Settings& settings, float* average, float* weight, bool updates) {
  const size_t regions = sums.counts.size();
  Row smoothed(sums.counts.begin(), sums.counts.end());
  Row corrected;
  int64_t examples = 0, occupied = 0;
  for (const int64_t count : sums.counts) {
    examples += count;
    occupied += count > 0;
  }
  if (average) smoothed = blended(average, smoothed, sums, settings);
  if (weight) corrected = blended(weight, Row(regions, 1), sums, settings);
  if (updates && sums.nonfinite == 0 && sums.bad_targets == 0) {
    if (average) std::copy(smoothed.begin(), smoothed.end(), average);
    if (weight) std::copy(corrected.begin(), corrected.end(), weight);
  }
  const float total = std::max(1.0f, static_cast<float>(settings.by_weight ? sums.weight_sum : examples));
  const auto shares = static_cast<float>(settings.is_paper ? regions : occupied);
  Harmonized result{0, Row(regions), Row(regions)};
  for (size_t j = 0; j < regions; ++j) {
    const float divisor = weight && corrected[j] > 0 ? corrected[j] : 1;
    const float density = smoothed[j] / divisor * shares;
    result.beta[j] = density > 1e-20f * total ? total / density : 0;
  }
  if (!settings.is_published()) rebalance(result.beta, sums, settings, total);
  for (size_t j = 0; j < regions; ++j) {
    if (sums.nonfinite) result.beta[j] = std::numeric_limits<float>::quiet_NaN();
    result.scale[j] = result.beta[j] * static_cast<float>(settings.loss_weight);
    if (settings.is_mean) result.scale[j] /= total;
    result.loss += result.scale[j] * sums.losses[j];
  }
  return result;
}

}  // namespace ghm
