// The harmonized loss of all levels as one operator of PyTorch's dispatcher, with its gradient; and
// its two halves, for calls that add the counts of other ranks or micro-batches in between.
//
// A level is five tensors in a list: prediction, labels, score, values and weight. `factors` are the
// numbers that a head multiplies the levels' losses with.

#include <torch/extension.h>

#include <string>

#include "density.h"

namespace ghm {
namespace {

using Tensors = std::vector<Tensor>;  // an undefined tensor stands for none
using OptionalTensors = c10::List<OptionalTensor>;
using Factors = std::vector<double>;
constexpr size_t PER_LEVEL = 5;

struct Criterion {
  std::string name;
  double mu;
};

Tensors tensors_of(const OptionalTensors& levels) {
  Tensors result;
  for (size_t i = 0; i < levels.size(); ++i)
    result.push_back(static_cast<OptionalTensor>(levels[i]).value_or(Tensor()));
  return result;
}

// The (N, C) view of (..., C), or of (N, 1) of (N,); a copy where there is no view.
Tensor matrix(const Tensor& tensor) {
  if (tensor.dim() == 2) return tensor;
  const int64_t columns = tensor.dim() > 1 ? tensor.size(-1) : 1;
  // without columns, -1 could be any number of rows
  return tensor.reshape({columns ? tensor.numel() / columns : 0, columns});
}

Level level_of(const Tensors& tensors, size_t index) {
  const Tensor* of_level = &tensors[index * PER_LEVEL];
  const Tensor &prediction = of_level[0], &labels = of_level[1], &score = of_level[2],
               &values = of_level[3], &weight = of_level[4];
  Level level{matrix(prediction)};
  const int64_t rows = level.prediction.size(0);
  TORCH_CHECK_VALUE(
      (!labels.defined() || labels.numel() == rows) && (!score.defined() || score.numel() == rows),
      "labels and scores: must have the shape (", rows, ",)");
  if (labels.defined()) level.labels = labels.to(at::kLong).contiguous();
  if (score.defined()) level.score = score.to(at::kFloat).contiguous();
  if (values.defined())
    level.values = values.to(at::kFloat).reshape(level.prediction.sizes());
  if (weight.defined()) level.weight = matrix(weight.to(at::kFloat).expand(prediction.sizes()));
  return level;
}

// Calls work(examples, criterion) with the prediction's type and the criterion that is named.
template <typename Work>
void dispatch(const Criterion& criterion, const Level& level, const Work& work) {
  const bool is_sigmoid = criterion.name == "sigmoid_cross_entropy";
  AT_DISPATCH_FLOATING_TYPES_AND2(
      at::kHalf, at::kBFloat16, level.prediction.scalar_type(), "harmonized_loss", [&] {
        if constexpr (!std::is_same_v<scalar_t, double>) {
          const Examples<scalar_t> examples(level, is_sigmoid);
          if (is_sigmoid)
            work(examples, SigmoidCrossEntropy());
          else
            work(examples, AuthenticSmoothL1{static_cast<float>(criterion.mu)});
        }
      });
}

template <typename Number>
Tensor row(const std::vector<Number>& numbers) {
  const auto size = static_cast<int64_t>(numbers.size());
  Tensor result = at::empty({size}, c10::CppTypeToScalarType<Number>::value);
  std::copy(numbers.begin(), numbers.end(), result.data_ptr<Number>());
  return result;
}

template <typename Number>
Tensor number(Number value) {
  Tensor result = at::empty({}, c10::CppTypeToScalarType<Number>::value);
  *result.data_ptr<Number>() = value;
  return result;
}

struct LevelSums {
  Sums total;
  std::vector<int64_t> nonfinite;  // of each level
};

LevelSums add_up(
    const Tensors& tensors, const Factors& factors, const Tensor& edges, const Criterion& criterion) {
  const Regions regions(edges);
  LevelSums result{Sums(regions.count), {}};
  for (size_t index = 0; index < factors.size(); ++index)
    dispatch(criterion, level_of(tensors, index), [&](const auto& examples, const auto& chosen) {
      const Sums sums = region_sums(examples, chosen, regions);
      result.total.add(sums, factors[index]);
      result.nonfinite.push_back(sums.nonfinite);
    });
  return result;
}

// Returns counts, loss sums, weight sum, each level's number of non-finite examples, bad targets.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> level_sums(
    const OptionalTensors& levels,
    Factors factors,
    const Tensor& edges,
    std::string criterion,
    double mu) {
  const auto [sums, nonfinite] = add_up(tensors_of(levels), factors, edges, {criterion, mu});
  return {
      row(sums.counts),
      row(Row(sums.losses.begin(), sums.losses.end())),
      number(static_cast<float>(sums.weight_sum)),
      row(nonfinite),
      number(sums.bad_targets)};
}

// Each example's own gradient times the scale of its region, in the prediction's shape.
Tensor gradient_of(
    const Tensors& tensors,
    size_t index,
    const Tensor& scale,
    const Regions& regions,
    const Criterion& criterion) {
  const Tensor& prediction = tensors[index * PER_LEVEL];
  Tensor result = at::empty_like(prediction);
  const bool is_viewable = prediction.dim() <= 2 || result.is_contiguous();
  Tensor out = is_viewable ? matrix(result) : at::empty_like(matrix(prediction));
  const Tensor of_region = scale.to(at::kFloat).contiguous();
  dispatch(criterion, level_of(tensors, index), [&](const auto& examples, const auto& chosen) {
    fill_gradient(examples, chosen, regions, of_region.data_ptr<float>(), out);
  });
  return is_viewable ? result : result.copy_(out.view(prediction.sizes()));
}

Tensor level_gradient(
    const OptionalTensors& level,
    const Tensor& scale,
    const Tensor& edges,
    std::string criterion,
    double mu) {
  return gradient_of(tensors_of(level), 0, scale, Regions(edges), {criterion, mu});
}

// The arguments of the loss that autograd does not look at.
struct Call {
  Tensors levels;
  Factors factors;
  Tensor edges, average, average_weight;  // the latter two undefined where there is none
  Criterion criterion;
  Settings settings;
  bool updates;
};

struct HarmonizedLoss : torch::autograd::Function<HarmonizedLoss> {
  static Tensors forward(
      torch::autograd::AutogradContext* ctx, at::TensorList predictions, const Call& call) {
    const auto [sums, nonfinite] = add_up(call.levels, call.factors, call.edges, call.criterion);
    const auto numbers = [](const Tensor& buffer) {
      return buffer.defined() ? buffer.data_ptr<float>() : nullptr;
    };
    const Harmonized result = harmonized(
        sums, call.settings, numbers(call.average), numbers(call.average_weight), call.updates);
    for (const Tensor& buffer : {call.average, call.average_weight})
      if (buffer.defined() && call.updates) buffer.unsafeGetTensorImpl()->bump_version();
    const Tensor scale = row(result.scale);
    Tensors saved = {scale, call.edges};
    saved.insert(saved.end(), call.levels.begin(), call.levels.end());
    ctx->save_for_backward(saved);
    ctx->saved_data["factors"] = call.factors;
    ctx->saved_data["criterion"] = call.criterion.name;
    ctx->saved_data["mu"] = call.criterion.mu;
    Tensors outputs = {
        number(static_cast<float>(result.loss)),
        row(result.beta),
        scale,
        row(sums.counts),
        row(Row(sums.losses.begin(), sums.losses.end())),
        row(nonfinite),
        number(sums.bad_targets)};
    ctx->mark_non_differentiable({outputs.begin() + 1, outputs.end()});
    return outputs;
  }

  static Tensors backward(torch::autograd::AutogradContext* ctx, Tensors above) {
    // autograd enables gradients here only for a second derivative
    TORCH_CHECK(
        !at::GradMode::is_enabled(),
        "a GHM loss has no second derivative: leave out create_graph=True");
    Tensors saved = ctx->get_saved_variables();
    const Tensor scale = saved[0] * above[0];
    const Regions regions(saved[1]);
    const Tensors levels(saved.begin() + 2, saved.end());
    const Factors factors = ctx->saved_data["factors"].toDoubleVector();
    const Criterion criterion{
        ctx->saved_data["criterion"].toStringRef(), ctx->saved_data["mu"].toDouble()};
    Tensors gradients(factors.size() + 1);  // the last, for `call`, stays undefined
    for (size_t index = 0; index < factors.size(); ++index)
      if (levels[index * PER_LEVEL].requires_grad()) {
        const Tensor of_level = factors[index] == 1 ? scale : scale * factors[index];
        gradients[index] = gradient_of(levels, index, of_level, regions, criterion);
      }
    return gradients;
  }
};

// Returns loss, beta, scale, counts, loss sums, each level's non-finite examples, bad targets.
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor> harmonized_loss(
    const OptionalTensors& levels,
    Factors factors,
    const Tensor& edges,
    const OptionalTensor& average,
    const OptionalTensor& average_weight,
    std::string criterion,
    double mu,
    bool is_paper,
    double momentum,
    bool equal_gradient,
    double tempering,
    bool keeps_outliers,
    bool is_mean,
    bool by_weight,
    double loss_weight,
    bool updates) {
  const Call call{
      tensors_of(levels),
      factors,
      edges,
      average.value_or(Tensor()),
      average_weight.value_or(Tensor()),
      {criterion, mu},
      {is_paper, momentum, equal_gradient, tempering, keeps_outliers, is_mean, by_weight,
       loss_weight},
      updates};
  Tensors predictions;
  for (size_t i = 0; i < call.levels.size(); i += PER_LEVEL) predictions.push_back(call.levels[i]);
  const Tensors out = HarmonizedLoss::apply(at::TensorList(predictions), call);
  return {out[0], out[1], out[2], out[3], out[4], out[5], out[6]};
}

}  // namespace

TORCH_LIBRARY(ghm_mmdet_cpu, library) {
  library.def(
      "harmonized_loss(Tensor?[] levels, float[] factors, Tensor edges, Tensor(a!)? average, "
      "Tensor(b!)? average_weight, str criterion, float mu, bool is_paper, float momentum, "
      "bool equal_gradient, float tempering, bool keeps_outliers, bool is_mean, bool by_weight, "
      "float loss_weight, bool updates) -> "
      "(Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "level_sums(Tensor?[] levels, float[] factors, Tensor edges, str criterion, float mu) -> "
      "(Tensor, Tensor, Tensor, Tensor, Tensor)");
  library.def(
      "level_gradient(Tensor?[] level, Tensor scale, Tensor edges, str criterion, float mu) -> "
      "Tensor");
}

TORCH_LIBRARY_IMPL(ghm_mmdet_cpu, CPU, library) {
  library.impl("harmonized_loss", &harmonized_loss);
  library.impl("level_sums", &level_sums);
  library.impl("level_gradient", &level_gradient);
}

TORCH_LIBRARY_IMPL(ghm_mmdet_cpu, AutogradCPU, library) {
  library.impl("harmonized_loss", &harmonized_loss);
}

}  // namespace ghm

// Importing the module is what registers the operators.
PYBIND11_MODULE(TORCH_EXTENSION_NAME, module) {}
