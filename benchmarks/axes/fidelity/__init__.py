"""The axis fidelity: sound quality and caption adherence of trained arms."""
