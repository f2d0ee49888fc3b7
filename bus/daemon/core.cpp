#include "bus/daemon/core.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

#include "bus/base/limits.hpp"
#include "bus/daemon/status_report.hpp"

namespace millrace::daemon {
namespace {

using namespace std::chrono_literals;
using control::PublisherState;
using schemas::HealthReason;
using schemas::HealthState;
using schemas::HealthSubject;

constexpr auto serve_interval = 100us;
constexpr std::string_view own_name = "millraced";
constexpr std::string_view health_topic = "system.health";
constexpr std::uint64_t health_token = 0;

}  // namespace

Core::Core(const Config& config, std::vector<std::unique_ptr<Topic>>& topics, Disk& disk, control::Server server,
           SegmentFds segment, std::vector<wal::Checkpoints> checkpoints, const Clock& clock)
    : config_(config),
      topics_(topics),
      disk_(disk),
      server_(std::move(server)),
      segment_(segment),
      clock_(clock),
      started_(clock.monotonic()),
      consumer_store_(
          topics, std::move(checkpoints),
          [this](const ConsumerStore::Waiting& waiting, const Status& status) {
            if (!status) {
              if (waiting.subscription != 0) topics_[waiting.topic]->unsubscribe(waiting.subscription);
              return answer_error(waiting.client, waiting.answer.correlation, status.error());
            }
            send_subscribed(waiting);
          },
          clock),
      health_(clock),
      watch_(config, topics, disk, server_, health_, incarnation_) {
  open_health();
  health_.add(
      {HealthSubject::core, std::string(own_name), "", HealthState::none, HealthState::healthy, HealthReason::started});
}

std::uint64_t Core::do_work(MonotonicTime now) {
  std::uint64_t work = 0;
  for (const auto& topic : topics_) work += topic->do_work();
  if (now - served_ >= serve_interval) {
    served_ = now;
    work += server_.do_work(now, *this);
    while (const auto admitted = disk_.take_admitted()) {
      on_admitted(*admitted);
      ++work;
    }
    while (const auto reopened = disk_.take_reopened()) {
      reopened->status ? server_.send(reopened->client, control::make_message(control::DoneT{}, reopened->correlation))
                       : answer_error(reopened->client, reopened->correlation, reopened->status.error());
      ++work;
    }
    work += consumer_store_.do_work(now);
  }
  watch_.do_work(now);
  return work;
}

void Core::on_close() {
  health_.add({HealthSubject::core, std::string(own_name), "", HealthState::healthy, HealthState::closed,
               HealthReason::said_goodbye});
  server_.send_all(control::make_message(control::StoppingT{}));
}

std::optional<std::size_t> Core::find_topic(const std::string& name) const {
  for (std::size_t i = 0; i < topics_.size(); ++i) {
    if (topics_[i]->config().name == name) return i;
  }
  return std::nullopt;
}

Result<std::size_t> Core::topic_or_error(const std::string& name) const {
  if (const auto index = find_topic(name)) return *index;
  std::string known;
  for (const auto& topic : topics_) known += (known.empty() ? "" : ", ") + topic->config().name;
  return fail(ErrorCode::not_found, "no topic '" + name + "'; the configuration has: " + known);
}

// The core is a publisher like others: its epoch is on the disk before it writes.
void Core::open_health() {
  const auto topic = find_topic(std::string(health_topic));
  if (!topic) return;
  Stream& stream = topics_[*topic]->streams()[0];
  stream.owner.phase = Owner::Phase::admitting;
  stream.owner.name = own_name;
  stream.owner.incarnation = incarnation_;
  admitting_[health_token] = {0, 0, *topic, 0, std::string(own_name), incarnation_};
  disk_.submit({health_token, *topic, 0, stream.pages->first_page(), std::string(own_name), incarnation_});
}

void Core::on_hello(const control::Client& client, std::uint64_t correlation) {
  control::WelcomeT welcome;
  welcome.protocol_version = control::protocol_version;
  welcome.core_incarnation = std::make_unique<control::Uuid>(control::to_wire(incarnation_));
  for (const auto& topic : topics_) {
    auto info = std::make_unique<control::TopicInfoT>();
    const schemas::EventType& type = topic->type();
    info->name = topic->config().name;
    info->event_type = static_cast<std::uint16_t>(type.id());
    info->type_name = type.name();
    if (type.id() >= schemas::first_user_event_type) {
      const auto* bytes = reinterpret_cast<const std::uint8_t*>(type.bfbs().data());
      info->bfbs.assign(bytes, bytes + type.bfbs().size());
    }
    info->root = type.root();
    info->key_field = type.key_field();
    info->page_bytes = static_cast<std::uint32_t>(topic->config().page_bytes);
    info->publishers = topic->config().publishers;
    info->stall_policy = static_cast<control::StallPolicy>(topic->config().stall_policy);
    info->log_folder = topic->log_folder();
    welcome.topics.push_back(std::move(info));
  }
  server_.send(client.id, control::make_message(std::move(welcome), correlation));
}

void Core::on_message(const control::Client& client, const control::MessageT& message) {
  const std::uint64_t correlation = message.correlation;
  switch (message.body.type) {
    case control::Body::AttachPublisher:
      return attach_publisher(client, correlation, *message.body.AsAttachPublisher());
    case control::Body::AttachSubscriber:
      return attach_subscriber(client, correlation, *message.body.AsAttachSubscriber());
    case control::Body::DetachSubscriber:
      for (const auto& topic : topics_) {
        const auto& subscriptions = topic->subscriptions();
        const auto it = subscriptions.find(message.body.AsDetachSubscriber()->subscription_id);
        if (it != subscriptions.end() && it->second.client == client.incarnation) topic->unsubscribe(it->first);
      }
      return;
    case control::Body::DetachPublisher: {
      const auto topic = find_topic(message.body.AsDetachPublisher()->topic);
      if (!topic) return;
      for (std::size_t i = 0; i < topics_[*topic]->streams().size(); ++i) {
        Owner& owner = topics_[*topic]->streams()[i].owner;
        if (owner.incarnation != client.incarnation || owner.name != message.body.AsDetachPublisher()->publisher_name) {
          continue;
        }
        if (owner.phase == Owner::Phase::admitting) owner.given_back = true;
        if (owner.phase == Owner::Phase::writing) {
          release(*topic, i, PublisherState::closed, HealthReason::said_goodbye);
        }
      }
      return;
    }
    case control::Body::ReopenTopic:
      return reopen(client, correlation, message.body.AsReopenTopic()->topic);
    case control::Body::ResetConsumer: {
      const auto& request = *message.body.AsResetConsumer();
      return manage_consumer(client, correlation, request.topic, [&](Topic& topic) -> Status {
        const Offset synced(topic.marks().topic.synced_end.load(std::memory_order_acquire));
        if (Offset(request.offset) > synced) {
          return fail(ErrorCode::invalid_argument, "offset " + std::to_string(request.offset) +
                                                       " is not synced yet; the next one will be " +
                                                       std::to_string(synced.value()));
        }
        return topic.consumers().reset(request.consumer, Offset(request.offset), topic.run(), clock_.wall());
      });
    }
    case control::Body::DeleteConsumer:
      return manage_consumer(client, correlation, message.body.AsDeleteConsumer()->topic, [&](Topic& topic) {
        return topic.consumers().remove(message.body.AsDeleteConsumer()->consumer);
      });
    case control::Body::GetStatus:
      return server_.send(client.id, control::make_message(status(), correlation));
    default:
      return answer_error(client.id, correlation,
                          {ErrorCode::invalid_argument, "a client does not send this kind of message"});
  }
}

Status Core::may_publish(const control::Client& client, const TopicConfig& topic, const std::string& name) const {
  if (topic.name == health_topic) {
    return fail(ErrorCode::not_permitted, "only the core publishes on " + std::string(health_topic));
  }
  if (!limits::is_name(name, limits::publisher_name_size_max)) {
    return fail(ErrorCode::invalid_argument, "a publisher's name has 1 to " +
                                                 std::to_string(limits::publisher_name_size_max) +
                                                 " of a-z 0-9 _ - . ; this is '" + name + "'");
  }
  if (topic.writers.allow(client.peer)) return {};
  return fail(ErrorCode::not_permitted, "user " + std::to_string(client.peer.uid) + " may not publish on '" +
                                            topic.name + "': its `writers` are " + topic.writers.names());
}

void Core::attach_publisher(const control::Client& client, std::uint64_t correlation,
                            const control::AttachPublisherT& request) {
  const auto topic = topic_or_error(request.topic);
  if (!topic) return answer_error(client.id, correlation, topic.error());
  Topic& on = *topics_[*topic];
  if (const Status allowed = may_publish(client, on.config(), request.publisher_name); !allowed) {
    return answer_error(client.id, correlation, allowed.error());
  }
  const auto stream = on.stream_for(request.publisher_name);
  if (!stream) {
    return answer_error(
        client.id, correlation,
        {ErrorCode::exhausted, "topic '" + request.topic + "' already has " + std::to_string(on.config().publishers) +
                                   " publishers: raise its `publishers`"});
  }
  Owner& owner = on.streams()[*stream].owner;
  Request wanted{client.id, correlation, *topic, *stream, request.publisher_name, client.incarnation, {}};
  if (!owner.holds()) return admit(client, std::move(wanted));
  if (owner.phase == Owner::Phase::writing && owner.incarnation == client.incarnation && !owner.connected) {
    // The same process over a new connection; its ring and epoch stand.
    owner.client = client.id;
    owner.connected = true;
    watch_.set_state(on, owner, PublisherState::healthy, HealthReason::recovered);
    return answer_attached(wanted, owner, true);
  }
  if (owner.phase == Owner::Phase::admitting && owner.incarnation == client.incarnation &&
      (owner.given_back || !owner.connected)) {
    // Nobody waits for that admission any more; it is this request's now.
    for (auto& [token, admitting] : admitting_) {
      if (admitting.topic == wanted.topic && admitting.stream == wanted.stream) admitting = wanted;
    }
    owner.client = client.id;
    owner.connected = true;
    owner.given_back = false;
    return;
  }
  if (!request.take_over || owner.incarnation == client.incarnation) {
    return answer_in_use(wanted, owner);
  }
  wanted.replaced = owner.incarnation;
  taking_over_.emplace_back(client, std::move(wanted));
  server_.kill(owner.client);  // only death fences: a store cannot be refused
}

void Core::admit(const control::Client& client, Request request) {
  Stream& stream = topics_[request.topic]->streams()[request.stream];
  stream.owner = Owner();
  stream.owner.phase = Owner::Phase::admitting;
  stream.owner.name = request.name;
  stream.owner.client = client.id;
  stream.owner.incarnation = client.incarnation;
  stream.owner.pid = client.peer.pid;
  const std::uint64_t token = next_token_++;
  disk_.submit({token, request.topic, request.stream, stream.pages->first_page(), request.name, client.incarnation});
  admitting_[token] = std::move(request);
}

void Core::on_admitted(const Admitted& admitted) {
  const auto it = admitting_.find(admitted.token);
  if (it == admitting_.end()) return;
  const Request request = std::move(it->second);
  admitting_.erase(it);
  Topic& topic = *topics_[request.topic];
  Stream& stream = topic.streams()[request.stream];
  Owner& owner = stream.owner;
  if (owner.phase != Owner::Phase::admitting || owner.incarnation != request.incarnation) return;  // it died meanwhile
  if (!admitted.result) {
    owner.phase = Owner::Phase::gone;
    return answer_error(request.client, request.correlation, admitted.result.error());
  }
  stream.pages->assign(admitted.result->publisher, admitted.result->epoch);
  owner.phase = Owner::Phase::writing;
  owner.id = admitted.result->publisher;
  owner.epoch = admitted.result->epoch;
  owner.last_sequence = admitted.result->last_sequence;
  owner.progress_seen = clock_.monotonic();
  if (admitted.token == health_token) {
    return health_.open(stream.pages->ring(), stream.pages->first_page(), *admitted.result);
  }
  health_.add({HealthSubject::publisher, owner.name, topic.config().name, HealthState::none, HealthState::healthy,
               HealthReason::started, static_cast<std::int64_t>(owner.epoch.value())});
  if (owner.given_back) {
    return release(request.topic, request.stream, PublisherState::closed, HealthReason::said_goodbye);
  }
  answer_attached(request, owner, false);
}

void Core::answer_attached(const Request& request, const Owner& owner, bool resumed) {
  Topic& topic = *topics_[request.topic];
  const Stream& stream = topic.streams()[request.stream];
  control::PublisherAttachedT attached;
  attached.publisher_id = owner.id.value();
  attached.epoch = owner.epoch.value();
  attached.stream = static_cast<std::uint32_t>(request.stream);
  attached.first_page = stream.pages->first_page().value();
  attached.last_sequence = owner.last_sequence.value();
  attached.ring_offset = stream.memory.offset;
  attached.ring_bytes = stream.memory.bytes.size();
  attached.stall_policy = static_cast<control::StallPolicy>(topic.config().stall_policy);
  attached.resumed = resumed;
  attached.log_folder = topic.log_folder();
  const std::array<int, 3> fds{segment_.read_write, topic.marks_fd(), disk_.bell_fd()};
  server_.send(request.client, control::make_message(std::move(attached), request.correlation), fds);
}

void Core::answer_error(control::ClientId client, std::uint64_t correlation, const Error& error) {
  server_.send(client, control::make_error(error, correlation));
}

void Core::answer_in_use(const Request& request, const Owner& owner) {
  answer_error(
      request.client, request.correlation,
      {ErrorCode::in_use, "publisher '" + request.name + "' of topic '" + topics_[request.topic]->config().name +
                              "' is held by process " + std::to_string(owner.pid) + ": end it, or take over"});
}

void Core::attach_subscriber(const control::Client& client, std::uint64_t correlation,
                             const control::AttachSubscriberT& request) {
  const auto index = topic_or_error(request.topic);
  if (!index) return answer_error(client.id, correlation, index.error());
  Topic& topic = *topics_[*index];
  const std::uint64_t id = next_subscription_++;
  Subscription subscription;
  subscription.client = client.incarnation;
  subscription.name = client.name;
  subscription.pid = client.peer.pid;
  subscription.level = static_cast<Level>(request.level);
  if (const Status status = topic.subscribe(id, std::move(subscription)); !status) {
    return answer_error(client.id, correlation, status.error());
  }
  control::SubscriberAttachedT attached;
  attached.subscription_id = id;
  for (const Stream& stream : topic.streams()) {
    auto place = std::make_unique<control::RingPlaceT>();
    place->offset = stream.memory.offset;
    place->bytes = stream.memory.bytes.size();
    attached.rings.push_back(std::move(place));
  }
  attached.order_bytes = topic.order_bytes();
  attached.log_folder = topic.log_folder();
  attached.log_id = std::make_unique<control::Uuid>(control::to_wire(topic.log_id()));
  attached.run = topic.run().value();
  if (const Status claimed = claim_consumer(client, topic, id, request, attached); !claimed) {
    topic.unsubscribe(id);
    return answer_error(client.id, correlation, claimed.error());
  }
  const bool durable = attached.consumer != nullptr;
  ConsumerStore::Waiting subscribed{*index, topic.consumers().changes(), client.id, id,
                                    control::make_message(std::move(attached), correlation)};
  durable ? consumer_store_.wait(std::move(subscribed)) : send_subscribed(subscribed);
}

void Core::send_subscribed(const ConsumerStore::Waiting& subscribed) {
  if (subscribed.subscription == 0) return server_.send(subscribed.client, subscribed.answer);
  const Topic& topic = *topics_[subscribed.topic];
  const auto subscription = topic.subscriptions().find(subscribed.subscription);
  if (subscription == topic.subscriptions().end()) return;  // it died meanwhile
  const std::array<int, 4> fds{segment_.read_only, topic.order_fd(), topic.marks_fd(), subscription->second.fd.get()};
  server_.send(subscribed.client, subscribed.answer, fds);
}

Status Core::claim_consumer(const control::Client& client, Topic& topic, std::uint64_t subscription,
                            const control::AttachSubscriberT& request, control::SubscriberAttachedT& attached) {
  if (request.consumer.empty()) return {};
  if (request.level != control::Level::synced) {
    return fail(ErrorCode::invalid_argument, "a durable consumer subscribes at level synced");
  }
  const Offset synced(topic.marks().topic.synced_end.load(std::memory_order_acquire));
  Consumers::Claim claim;
  claim.name = request.consumer;
  claim.owner = subscription;
  claim.page = &topic.subscriptions().at(subscription).words();
  claim.pid = client.peer.pid;
  claim.take_over = request.take_over;
  claim.generation = request.generation;
  claim.start = Offset(request.start.value_or(synced.value()));
  claim.run = topic.run();
  if (claim.start > synced) {
    return fail(ErrorCode::invalid_argument, "a durable consumer cannot begin at offset " +
                                                 std::to_string(claim.start.value()) +
                                                 ": the next synced one will be " + std::to_string(synced.value()));
  }
  const auto claimed = topic.consumers().claim(claim, clock_.wall());
  if (!claimed) return fail(claimed.error());
  attached.consumer = std::make_unique<control::ConsumerHoldT>();
  attached.consumer->slot = static_cast<std::uint32_t>(claimed->slot);
  attached.consumer->generation = claimed->generation;
  attached.consumer->run = claimed->run.value();
  attached.consumer->checkpoint = claimed->checkpoint.value();
  return {};
}

Result<std::size_t> Core::may_manage(const control::Client& client, const std::string& topic) const {
  const auto index = topic_or_error(topic);
  if (!index || topics_[*index]->config().writers.allow(client.peer)) return index;
  return fail(ErrorCode::not_permitted, "user " + std::to_string(client.peer.uid) + " may not manage '" + topic +
                                            "': its `writers` are " + topics_[*index]->config().writers.names());
}

void Core::manage_consumer(const control::Client& client, std::uint64_t correlation, const std::string& topic,
                           const std::function<Status(Topic&)>& change) {
  const auto index = may_manage(client, topic);
  if (!index) return answer_error(client.id, correlation, index.error());
  if (const Status changed = change(*topics_[*index]); !changed) {
    return answer_error(client.id, correlation, changed.error());
  }
  consumer_store_.wait({*index, topics_[*index]->consumers().changes(), client.id, 0,
                        control::make_message(control::DoneT{}, correlation)});
}

void Core::reopen(const control::Client& client, std::uint64_t correlation, const std::string& topic) {
  const auto index = may_manage(client, topic);
  if (!index) return answer_error(client.id, correlation, index.error());
  disk_.submit(Reopen{client.id, correlation, *index, {}});
}

bool Core::on_disconnected(const control::Client& client) {
  // What it asked for would be given to nobody, and kept from everybody.
  std::erase_if(taking_over_, [&](const auto& waiting) { return waiting.first.id == client.id; });
  bool holds = false;
  for (const auto& topic : topics_) {
    for (Stream& stream : topic->streams()) {
      Owner& owner = stream.owner;
      if (!owner.holds() || owner.incarnation != client.incarnation) continue;
      holds = true;
      if (owner.client != client.id) continue;  // it is back over another connection
      owner.connected = false;
      if (owner.phase == Owner::Phase::writing) {
        watch_.set_state(*topic, owner, PublisherState::disconnected, HealthReason::connection_lost);
      }
    }
    for (const auto& [id, subscription] : topic->subscriptions()) holds |= subscription.client == client.incarnation;
  }
  return holds;
}

void Core::on_dead(const control::Client& client) {
  for (std::size_t t = 0; t < topics_.size(); ++t) {
    std::vector<Stream>& streams = topics_[t]->streams();
    for (std::size_t s = 0; s < streams.size(); ++s) {
      Owner& owner = streams[s].owner;
      if (owner.incarnation != client.incarnation) continue;
      if (owner.phase == Owner::Phase::admitting) owner.phase = Owner::Phase::gone;
      if (owner.phase == Owner::Phase::writing) release(t, s, PublisherState::dead, HealthReason::process_ended);
    }
    watch_.on_dead(t, client.incarnation);
    topics_[t]->unsubscribe_all(client.incarnation);
  }
  for (auto it = taking_over_.begin(); it != taking_over_.end();) {
    const Owner& owner = topics_[it->second.topic]->streams()[it->second.stream].owner;
    if (!owner.holds()) {
      admit(it->first, std::move(it->second));
    } else if (owner.incarnation != it->second.replaced) {
      answer_in_use(it->second, owner);  // somebody else who took over was first
    } else {
      ++it;
      continue;
    }
    it = taking_over_.erase(it);
  }
}

// Its last page is closed where its commits end; the disk records what is in it before anybody else is admitted.
void Core::release(std::size_t topic, std::size_t stream, PublisherState state, HealthReason reason) {
  Stream& released = topics_[topic]->streams()[stream];
  released.pages->close();
  released.owner.phase = Owner::Phase::gone;
  const auto& marks = topics_[topic]->marks().streams[stream];
  watch_.set_state(*topics_[topic], released.owner, state, reason,
                   static_cast<std::int64_t>(marks.recorded_sequence.load(std::memory_order_relaxed)));
}

control::StatusReportT Core::status() const {
  control::StatusReportT report = report_topics(topics_, disk_, watch_);
  report.pid = ::getpid();
  report.run_seconds = static_cast<std::uint64_t>((clock_.monotonic() - started_) / 1s);
  report.shared_bytes = segment_.bytes;
  report.clients = static_cast<std::uint32_t>(server_.connected());
  report.rejected_messages = server_.counters().rejected_messages;
  return report;
}

}  // namespace millrace::daemon
