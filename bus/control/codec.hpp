// Control messages to bytes and back. What comes from a peer is verified before it is looked at.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "bus/base/ids.hpp"
#include "bus/base/result.hpp"
#include "bus/control/control_generated.h"

namespace millrace::control {

inline constexpr std::uint32_t protocol_version = 1;
inline constexpr std::size_t message_size_max = 128 * 1024;

[[nodiscard]] std::vector<std::byte> encode(const MessageT& message);
// Errors: invalid_argument, for what is no message of this protocol.
[[nodiscard]] Result<MessageT> decode(std::span<const std::byte> bytes);

template <class Body>
[[nodiscard]] MessageT make_message(Body body, std::uint64_t correlation = 0) {
  MessageT message;
  message.correlation = correlation;
  message.body.Set(std::move(body));
  return message;
}
[[nodiscard]] MessageT make_error(const Error& error, std::uint64_t correlation);
[[nodiscard]] Error to_error(const ErrorAnswerT& answer);

template <class Id>
[[nodiscard]] Uuid to_wire(const Id& id) {
  return Uuid(flatbuffers::span<const std::uint8_t, 16>(id.bytes.data(), 16));
}
template <class Id>
[[nodiscard]] Id from_wire(const Uuid& uuid) {
  Id id;
  for (std::size_t i = 0; i < id.bytes.size(); ++i)
    id.bytes[i] = uuid.bytes()->Get(static_cast<flatbuffers::uoffset_t>(i));
  return id;
}

}  // namespace millrace::control
