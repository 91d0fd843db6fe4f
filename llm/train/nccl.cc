// JoinNccl: NCCL comes as a plugin, so that this program starts on machines that have neither NCCL
// nor CUDA.
#include <dlfcn.h>

#include "absl/strings/str_cat.h"
#include "common/status/error.h"
#include "common/status/status_macros.h"
#include "llm/train/nccl/plugin.h"

namespace crossover::llm {

absl::StatusOr<std::unique_ptr<Collective>> JoinNccl(const Rendezvous& rendezvous,
                                                     const std::string& plugin) {
  RETURN_IF_ERROR(CheckRendezvous(rendezvous));
  const auto unavailable = [&](const std::string& why) {
    return Error(absl::StatusCode::kFailedPrecondition, "NCCL_UNAVAILABLE",
                 absl::StrCat("the NCCL plugin ", plugin, " cannot be used: ", why,
                              "; it is built where NCCL's headers are (docs/operations.md)"));
  };
  // Never closed: the objects it makes live on.
  void* library = dlopen(plugin.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) return unavailable(dlerror());
  const auto join = reinterpret_cast<NcclJoinFunction*>(dlsym(library, kNcclJoinSymbol));
  if (join == nullptr) return unavailable(absl::StrCat("it has no function ", kNcclJoinSymbol));
  absl::StatusOr<std::unique_ptr<Collective>> joined = absl::UnknownError("");
  join(rendezvous, joined);
  return joined;
}

}  // namespace crossover::llm
