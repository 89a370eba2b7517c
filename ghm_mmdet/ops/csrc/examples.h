// The examples of one level, read in blocks of float32 whatever the dtype and the strides.

#pragma once

#include <ATen/ATen.h>
#include <ATen/core/ivalue.h>

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

namespace ghm {

using at::Tensor;
// PyTorch's own optional below torch 2.3, std::optional from there on.
using OptionalTensor = decltype(std::declval<const c10::IValue&>().toOptional<Tensor>());

constexpr int64_t BLOCK = 256;
constexpr int64_t CACHE_LINE = 64, AHEAD = 2 * BLOCK;
// How far outside [0, 1] a target may be, as in ops/target_range.py.
constexpr float ROUNDING = 0.01f;

inline bool is_outside(float target) {
  return (target < -ROUNDING || target > 1 + ROUNDING) && std::isfinite(target);
}

// A matrix in memory, whatever its strides.
template <typename T>
struct Matrix {
  explicit Matrix(const Tensor& tensor)
      : data(tensor.data_ptr<T>()), row_stride(tensor.stride(0)), column_stride(tensor.stride(1)) {}

  T& at(int64_t row, int64_t column) const {
    return data[row * row_stride + column * column_stride];
  }

  T* data;
  int64_t row_stride, column_stride;
};

// Tensors of one level in the forms that the kernels read.
struct Level {
  Tensor prediction;                       // (N, C), float16, bfloat16 or float32
  OptionalTensor labels, score;            // (N,) of int64; (N,) of float32
  OptionalTensor values, weight;           // (N, C) of float32
};

// Neighbouring examples, row by row; places beyond the size have prediction 0 and target 0.
struct Block {
  int64_t first, size;
  bool any_valid, all_valid;
  bool is_background;  // all targets are 0, and y is not filled in
  alignas(64) float x[BLOCK];
  alignas(64) float y[BLOCK];
  alignas(64) float loss[BLOCK];
  alignas(64) float derivative[BLOCK];
  alignas(64) int32_t region[BLOCK];
  alignas(64) int32_t units[BLOCK];  // of loss
  bool valid[BLOCK];

  void fill_in_targets() {
    if (is_background) std::fill(y, y + BLOCK, 0.0f);
  }
};

// What loading a block finds.
struct Loaded {
  double weight_sum = 0;
  int64_t bad_targets = 0;
};

template <typename T>
struct Examples {
  Examples(const Level& level, bool probabilities)
      : x(level.prediction),
        rows(level.prediction.size(0)),
        columns(level.prediction.size(1)),
        is_contiguous(level.prediction.is_contiguous()),
        checks_values(probabilities) {
    if (level.labels) label = level.labels->data_ptr<int64_t>();
    if (level.score) score_at_label = level.score->data_ptr<float>();
    if (level.values) dense.emplace(*level.values);
    if (level.weight) weights.emplace(*level.weight);
  }

  int64_t total() const { return rows * columns; }

  // Calls visit(row, first column, end column, position in the block) for each row of the block.
  template <typename Visit>
  void by_row(const Block& block, const Visit& visit) const {
    int64_t row = block.first / columns, column = block.first % columns;
    for (int64_t i = 0; i < block.size; ++row, column = 0) {
      const int64_t end = std::min(columns, column + block.size - i);
      visit(row, column, end, i);
      i += end - column;
    }
  }

  // Fills in predictions, targets and which examples are valid.
  Loaded load(Block& block) const {
    Loaded found;
    found.weight_sum = load_weights(block);
    if (!block.any_valid) return found;
    load_predictions(block);
    found.bad_targets = dense ? load_values(block) : load_labels(block);
    return found;
  }

  double load_weights(Block& block) const {
    block.any_valid = block.all_valid = true;
    if (!weights) return static_cast<double>(block.size);
    double sum = 0;
    int64_t valid = 0;
    const bool is_per_row = weights->column_stride == 0;
    by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
      if (is_per_row) {
        const float weight = weights->at(row, 0);
        valid += weight > 0 ? end - column : 0;
        sum += weight > 0 ? static_cast<double>(weight) * (end - column) : 0;
        return;
      }
      for (int64_t j = column; j < end; ++j, ++i) {
        const float weight = weights->at(row, j);
        block.valid[i] = weight > 0;
        valid += weight > 0;
        sum += weight > 0 ? weight : 0;
      }
    });
    block.any_valid = valid > 0;
    block.all_valid = valid == block.size;
    if (is_per_row && block.any_valid && !block.all_valid)
      by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
        std::fill(block.valid + i, block.valid + i + end - column, weights->at(row, 0) > 0);
      });
    return sum;
  }

  void load_predictions(Block& block) const {
    std::fill(block.x + block.size, block.x + BLOCK, 0.0f);
    if (is_contiguous) {
      const T* from = x.data + block.first;
      // the memory fetches the block after the next while this one is computed
      for (int64_t i = 0; i < BLOCK; i += CACHE_LINE / sizeof(T))
        __builtin_prefetch(from + AHEAD + i);
      for (int64_t i = 0; i < block.size; ++i) block.x[i] = static_cast<float>(from[i]);
      return;
    }
    by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
      const T* from = &x.at(row, column);
      for (int64_t j = 0; j < end - column; ++j)
        block.x[i + j] = static_cast<float>(from[j * x.column_stride]);
    });
  }

  int64_t load_values(Block& block) const {
    block.is_background = false;
    std::fill(block.y + block.size, block.y + BLOCK, 0.0f);
    by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
      for (int64_t j = column; j < end; ++j) block.y[i + j - column] = dense->at(row, j);
    });
    int64_t bad = 0;
    if (checks_values)
      for (int64_t i = 0; i < block.size; ++i)
        bad += is_outside(block.y[i]) && (block.all_valid || block.valid[i]);
    return bad;
  }

  int64_t load_labels(Block& block) const {
    block.is_background = true;
    int64_t bad = 0;
    by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
      if (column == 0) bad += is_bad(row);
      if (label[row] < column || label[row] >= end) return;
      block.fill_in_targets();
      block.y[i + label[row] - column] = score_at_label ? score_at_label[row] : 1;
      block.is_background = false;
    });
    return bad;
  }

  // Whether the row's label or score is out of range and no weight ignores it.
  bool is_bad(int64_t row) const {
    if (label[row] < 0 || label[row] > columns) {
      bool counts = !weights;
      for (int64_t j = 0; !counts && j < columns; ++j) counts = weights->at(row, j) > 0;
      return counts;
    }
    if (!score_at_label || label[row] == columns || !is_outside(score_at_label[row])) return false;
    return !weights || weights->at(row, label[row]) > 0;
  }

  Matrix<T> x;
  int64_t rows, columns;
  bool is_contiguous, checks_values;
  const int64_t* label = nullptr;
  const float* score_at_label = nullptr;
  std::optional<Matrix<float>> dense, weights;
};

}  // namespace ghm
