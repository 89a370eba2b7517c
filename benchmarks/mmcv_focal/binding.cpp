// The two functions that mmcv.ops.focal_loss calls, bound to mmcv's own launchers.
#include <torch/extension.h>

void SigmoidFocalLossForwardCUDAKernelLauncher(at::Tensor input, at::Tensor target,
                                               at::Tensor weight, at::Tensor output,
                                               const float gamma, const float alpha);

void SigmoidFocalLossBackwardCUDAKernelLauncher(at::Tensor input, at::Tensor target,
                                                at::Tensor weight, at::Tensor grad_input,
                                                const float gamma, const float alpha);

PYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {
  m.def("sigmoid_focal_loss_forward", &SigmoidFocalLossForwardCUDAKernelLauncher,
        py::arg("input"), py::arg("target"), py::arg("weight"), py::arg("output"),
        py::arg("gamma"), py::arg("alpha"));
  m.def("sigmoid_focal_loss_backward", &SigmoidFocalLossBackwardCUDAKernelLauncher,
        py::arg("input"), py::arg("target"), py::arg("weight"), py::arg("grad_input"),
        py::arg("gamma"), py::arg("alpha"));
}
