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
inline constexpr std::size_t request_size_max = 64 * 1024;  // of what a client may send
inline constexpr std::size_t client_name_size_max = 64;

[[nodiscard]] std::vector<std::byte> encode(const MessageT& message);

// A message that has a body, of a kind that this build knows. From the core, which clients trust: unpacked, it may take
// much more memory than its bytes. Errors: invalid_argument, for what is no message of this protocol.
[[nodiscard]] Result<MessageT> decode(std::span<const std::byte> bytes);
// The same from a client, whom the core does not trust: only what clients send, with every enumerator known, and at
// most a few times as large unpacked.
[[nodiscard]] Result<MessageT> decode_request(std::span<const std::byte> bytes);

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
