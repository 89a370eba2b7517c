// Region sums and their gradient on the CPU, each in one pass over the prediction.
//
// Examples are taken in blocks whose intermediates stay in the first-level cache. ATen's own vector
// functions compute them, so that on contiguous input gradient norms are those of the other back
// ends to the bit, and an example on the edge of a region falls on the same side. On strided input
// those compute with scalar functions, which may differ in the last place.

#include <ATen/Parallel.h>
#include <ATen/cpu/vec/vec.h>
#include <torch/extension.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <vector>

namespace {

using at::Tensor;
using Vec = at::vec::Vectorized<float>;
using OptionalTensor = std::optional<Tensor>;

constexpr int64_t BLOCK = 256;
// The examples are split into segments with sums of their own, added up in their order: the result
// does not depend on how many threads there are. So many regions times so many segments stay small.
constexpr int64_t SMALLEST_SEGMENT = 1 << 16;
constexpr int64_t MOST_SEGMENTS = 64;
// Neighbours are added to sums of their own, so that one addition need not wait for the last.
constexpr int64_t LANES = 4;
// Examples that are worth another thread.
constexpr int64_t GRAIN = 1 << 14;
static_assert(BLOCK % Vec::size() == 0);

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

struct SigmoidCrossEntropy {
  Vec derivative(Vec x, Vec y) const { return (Vec(1) + x.neg().exp()).reciprocal() - y; }

  Vec loss(Vec x, Vec y) const {
    return at::vec::clamp_min(x, Vec(0)) - x * y + x.abs().neg().exp().log1p();
  }
};

struct AuthenticSmoothL1 {
  Vec derivative(Vec x, Vec y) const {
    const Vec difference = x - y;
    return difference / root(difference);
  }

  Vec loss(Vec x, Vec y) const {
    const Vec difference = x - y;
    return difference * (difference / (root(difference) + Vec(mu)));
  }

  Vec root(Vec difference) const {
    const Vec square = difference * difference + Vec(mu * mu);
    // infinity times 0 is NaN, so that what overflows is not finite
    return (square + square * Vec(0)).sqrt();
  }

  float mu;
};

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

// Neighbouring examples in float32, in rows of the prediction.
struct Block {
  int64_t first, size;
  bool any_valid, all_valid;
  alignas(64) float x[BLOCK];
  alignas(64) float y[BLOCK];
  alignas(64) float loss[BLOCK];
  alignas(64) float derivative[BLOCK];
  alignas(64) int32_t region[BLOCK];
  bool valid[BLOCK];

  // Number of examples that vectors compute; those beyond the size are 0 against 0.
  int64_t padded() const { return (size + Vec::size() - 1) / Vec::size() * Vec::size(); }

  template <typename Criterion>
  void differentiate(const Criterion& criterion) {
    for (int64_t i = 0; i < padded(); i += Vec::size())
      criterion.derivative(Vec::loadu(x + i), Vec::loadu(y + i)).store(derivative + i);
    // every place gets a region, and that of memory never written would be undefined
    std::fill(derivative + padded(), derivative + BLOCK, 0.0f);
  }

  template <typename Criterion>
  void evaluate(const Criterion& criterion) {
    differentiate(criterion);
    for (int64_t i = 0; i < padded(); i += Vec::size())
      criterion.loss(Vec::loadu(x + i), Vec::loadu(y + i)).store(loss + i);
  }

  // Fills in the regions: M where an example is ignored, M + 1 where it is not finite. Returns the
  // number of the latter.
  int64_t find_regions(const Regions& regions) {
    return is_plain(regions) ? find_plain_regions(regions) : find_any_regions(regions);
  }

  // Whether all is finite, and no product g M so close to a whole number that its rounding could
  // put the example on the other side of an edge.
  bool is_plain(const Regions& regions) const {
    const float last = static_cast<float>(regions.count);
    const Vec count(last), tolerance(last * 2e-7f), half(0.5f), zero(0);
    Vec suspicious(0);
    for (int64_t i = 0; i < padded(); i += Vec::size()) {
      const Vec slope = Vec::loadu(derivative + i);
      const Vec position = slope.abs() * count;
      const Vec is_inside = (position > half) & (position < count - half);
      suspicious = suspicious | (((position - position.round()).abs() < tolerance) & is_inside);
      suspicious = suspicious | ((Vec::loadu(x + i) + slope) * zero != zero);
    }
    return suspicious.zero_mask() == (1 << Vec::size()) - 1;
  }

  int64_t find_plain_regions(const Regions& regions) {
    const float count = static_cast<float>(regions.count);
    for (int64_t i = 0; i < BLOCK; ++i)
      region[i] = std::min(static_cast<int32_t>(std::abs(derivative[i]) * count), regions.count - 1);
    if (!all_valid)
      for (int64_t i = 0; i < size; ++i) region[i] = valid[i] ? region[i] : regions.count;
    return 0;
  }

  int64_t find_any_regions(const Regions& regions) {
    int64_t nonfinite = 0;
    for (int64_t i = 0; i < size; ++i) {
      const bool finite = std::isfinite(x[i]) && std::isfinite(derivative[i]);
      region[i] = !valid[i] ? regions.count
          : finite          ? regions.of(std::abs(derivative[i]))
                            : regions.count + 1;
      nonfinite += valid[i] && !finite;
    }
    return nonfinite;
  }
};

template <typename T>
struct Examples {
  Examples(
      const Tensor& prediction,
      const OptionalTensor& labels,
      const OptionalTensor& score,
      const OptionalTensor& values,
      const OptionalTensor& weight)
      : x(prediction), rows(prediction.size(0)), columns(prediction.size(1)) {
    if (labels) label = labels->data_ptr<int64_t>();
    if (score) score_at_label = score->data_ptr<float>();
    if (values) dense.emplace(*values);
    if (weight) weights.emplace(*weight);
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

  // Fills in what the block is computed from; returns the sum of the positive weights.
  double load(Block& block) const {
    const double weight_sum = load_weights(block);
    if (block.any_valid) {
      load_predictions(block);
      load_targets(block);
    }
    return weight_sum;
  }

  double load_weights(Block& block) const {
    block.any_valid = block.all_valid = true;
    if (!weights) {
      std::fill(block.valid, block.valid + block.size, true);
      return static_cast<double>(block.size);
    }
    double sum = 0;
    int64_t valid = 0;
    by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
      if (weights->column_stride == 0) {
        const float weight = weights->at(row, 0);
        std::fill(block.valid + i, block.valid + i + end - column, weight > 0);
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
    return sum;
  }

  void load_predictions(Block& block) const {
    by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
      const T* from = &x.at(row, column);
      if (x.column_stride == 1)
        for (int64_t j = 0; j < end - column; ++j) block.x[i + j] = static_cast<float>(from[j]);
      else
        for (int64_t j = 0; j < end - column; ++j)
          block.x[i + j] = static_cast<float>(from[j * x.column_stride]);
    });
    std::fill(block.x + block.size, block.x + BLOCK, 0.0f);
  }

  void load_targets(Block& block) const {
    std::fill(block.y, block.y + BLOCK, 0.0f);
    by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
      if (dense)
        for (int64_t j = column; j < end; ++j) block.y[i + j - column] = dense->at(row, j);
      else if (label[row] >= column && label[row] < end)
        block.y[i + label[row] - column] = score_at_label ? score_at_label[row] : 1;
    });
  }

  Matrix<T> x;
  int64_t rows, columns;
  const int64_t* label = nullptr;
  const float* score_at_label = nullptr;
  std::optional<Matrix<float>> dense, weights;
};

// Counts and sums of one segment.
struct Sums {
  explicit Sums(int64_t regions) : counts(regions), losses(regions) {}

  std::vector<int64_t> counts;
  std::vector<double> losses;
  double weight_sum = 0;
  int64_t nonfinite = 0;
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
    result.weight_sum += examples.load(block);
    if (!block.any_valid) continue;
    block.evaluate(criterion);
    result.nonfinite += block.find_regions(regions);
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
Sums all_sums(
    const Examples<T>& examples, const Criterion& criterion, const Regions& regions) {
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
  for (const Sums& part : parts) {
    for (int64_t j = 0; j < regions.count; ++j) {
      total.counts[j] += part.counts[j];
      total.losses[j] += part.losses[j];
    }
    total.weight_sum += part.weight_sum;
    total.nonfinite += part.nonfinite;
  }
  return total;
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
      std::fill(value, value + BLOCK, 0.0f);
      if (block.any_valid) {
        block.differentiate(criterion);
        block.find_regions(regions);
        for (int64_t i = 0; i < block.size; ++i)
          value[i] = block.derivative[i] * factor[block.region[i]];
        // an ignored NaN must not leave a NaN behind
        if (!block.all_valid)
          for (int64_t i = 0; i < block.size; ++i) value[i] = block.valid[i] ? value[i] : 0;
      }
      examples.by_row(block, [&](int64_t row, int64_t column, int64_t end, int64_t i) {
        T* to = &out.at(row, column);
        if (out.column_stride == 1)
          for (int64_t j = 0; j < end - column; ++j) to[j] = static_cast<T>(value[i + j]);
        else
          for (int64_t j = 0; j < end - column; ++j)
            to[j * out.column_stride] = static_cast<T>(value[i + j]);
      });
    }
  });
}

// Calls work(examples, criterion) with the prediction's type and the criterion that is named.
template <typename Work>
void dispatch(
    const std::string& criterion,
    double mu,
    const Tensor& prediction,
    const OptionalTensor& labels,
    const OptionalTensor& score,
    const OptionalTensor& values,
    const OptionalTensor& weight,
    const Work& work) {
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, prediction.scalar_type(), "region_sums", [&] {
        if constexpr (!std::is_same_v<scalar_t, double>) {
          const Examples<scalar_t> examples(prediction, labels, score, values, weight);
          if (criterion == "sigmoid_cross_entropy")
            work(examples, SigmoidCrossEntropy());
          else
            work(examples, AuthenticSmoothL1{static_cast<float>(mu)});
        }
      });
}

std::tuple<Tensor, Tensor, Tensor, Tensor> region_sums(
    const std::string& criterion,
    double mu,
    const Tensor& prediction,
    const OptionalTensor& labels,
    const OptionalTensor& score,
    const OptionalTensor& values,
    const OptionalTensor& weight,
    const Tensor& edges) {
  const Regions regions(edges);
  Sums sums(regions.count);
  dispatch(
      criterion, mu, prediction, labels, score, values, weight,
      [&](const auto& examples, const auto& chosen) {
        sums = all_sums(examples, chosen, regions);
      });
  return {
      torch::tensor(sums.counts, at::kLong),
      torch::tensor(sums.losses, at::kDouble).to(at::kFloat),
      torch::tensor(sums.weight_sum, at::kDouble).to(at::kFloat),
      torch::tensor(sums.nonfinite, at::kLong)};
}

void gradient(
    const std::string& criterion,
    double mu,
    const Tensor& prediction,
    const OptionalTensor& labels,
    const OptionalTensor& score,
    const OptionalTensor& values,
    const OptionalTensor& weight,
    const Tensor& edges,
    const Tensor& scale,
    const Tensor& result) {
  const Regions regions(edges);
  dispatch(
      criterion, mu, prediction, labels, score, values, weight,
      [&](const auto& examples, const auto& chosen) {
        fill_gradient(examples, chosen, regions, scale.data_ptr<float>(), result);
      });
}

}  // namespace

PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {
  namespace py = pybind11;
  module.attr("capability") = GHM_MMDET_CAPABILITY;
  module.def("region_sums", &region_sums, py::call_guard<py::gil_scoped_release>());
  module.def("gradient", &gradient, py::call_guard<py::gil_scoped_release>());
}
