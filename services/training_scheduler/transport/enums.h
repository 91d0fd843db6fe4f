// Enums have the same names in domain and protos, and are converted by name.
#pragma once

#include <google/protobuf/generated_enum_reflection.h>

#include <optional>
#include <string>
#include <string_view>

namespace crossover::scheduler {

// The proto's value of this name; its zero value if it has none.
template <typename ProtoEnum>
ProtoEnum ToEnum(std::string_view name) {
  const auto* value =
      google::protobuf::GetEnumDescriptor<ProtoEnum>()->FindValueByName(std::string(name));
  return value == nullptr ? static_cast<ProtoEnum>(0) : static_cast<ProtoEnum>(value->number());
}

// The domain's value; nullopt for the zero value and for those the domain does not know.
template <typename ProtoEnum, typename Enum>
std::optional<Enum> FromEnum(ProtoEnum value, std::optional<Enum> (*parse)(std::string_view)) {
  const auto* descriptor =
      google::protobuf::GetEnumDescriptor<ProtoEnum>()->FindValueByNumber(static_cast<int>(value));
  return descriptor == nullptr ? std::nullopt : parse(descriptor->name());
}

}  // namespace crossover::scheduler
